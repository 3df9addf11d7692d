//! Dispatch.
mod build;
mod diagnose;
mod failure;
mod prepare;
mod run;
mod test;
use crate::manifest::Request;
/// Stub.
pub fn dispatch(args: Vec<std::ffi::OsString>) -> i32 {
    let mut it = args.into_iter().skip(1);
    let verb = it.next().unwrap_or_default();
    let mut r = Request::default();
    let mut jails = vec![];
    while let Some(a) = it.next() {
        if a == "--set" {
            r.sets.push(it.next().unwrap().into_string().unwrap());
        } else if a == "--" {
            r.extra_arguments = it.by_ref().collect();
        } else {
            jails.push(a);
        }
    }
    r.jail = jails.first().cloned().unwrap_or_default();
    let res = match verb.to_str().unwrap() {
        "run" => run::run(&r),
        "build" => build::build(&r),
        "test" => test::test(
            &jails.iter().map(|j| Request { jail: j.clone(), ..Request::default() }).collect::<Vec<_>>(),
        ),
        _ => Ok(2),
    };
    match res {
        Ok(c) => c.into(),
        Err(f) => {
            crate::report::diagnostic::findings(&f.into_iter().map(Into::into).collect::<Vec<_>>());
            125
        }
    }
}
