//! The only writer to standard output and standard error.
pub mod diagnostic;
/// A message for the person, on standard error.
pub fn note(text: &str) {
    eprintln!("{text}");
}
/// A line of data, on standard output.
pub fn line(text: &str) {
    println!("{text}");
}
