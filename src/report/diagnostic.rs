//! Stub.
/// Stub.
pub struct Diagnostic(pub crate::manifest::finding::Finding);
impl From<crate::manifest::finding::Finding> for Diagnostic {
    fn from(f: crate::manifest::finding::Finding) -> Self {
        Self(f)
    }
}
/// Stub.
pub fn findings(all: &[Diagnostic]) {
    for Diagnostic(f) in all {
        eprintln!("{:?}: {}", f.severity, f.message);
        if let Some(p) = f.origin.as_ref().and_then(|o| o.place()) {
            eprintln!("  --> {p:?}\n  | {}", p.excerpt());
        }
        for w in &f.why {
            eprintln!("  why: {w}");
        }
        if let Some(h) = &f.hint {
            eprintln!("  hint: {h}");
        }
    }
}
