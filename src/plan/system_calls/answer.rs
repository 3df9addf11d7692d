//! What a policy answers to one call, read from the table in the plainest way: for those who look at calls one by one, and for the tests
//! of the compiler.

use super::arguments::{Node, Values};
use super::policy::Policy;
use super::{Architecture, CALLS, Decision, Errno, Rule};

impl Policy {
    /// The error that a call would get, by its number and its arguments; none if it is made. A number that nobody knows gets what an
    /// older kernel says.
    pub fn refuses(&self, architecture: Architecture, number: u32, arguments: &[u64; 6]) -> Option<Errno> {
        let Some(at) = position(architecture, number) else { return Some(Errno::ENOSYS) };
        self.refuses_at(at, arguments).map(|(_, errno)| errno)
    }

    /// The same by the call's place in the table, with the decision; none of a call that a list leaves out.
    pub fn refuses_at(&self, at: usize, arguments: &[u64; 6]) -> Option<(Option<Decision>, Errno)> {
        match (CALLS[at].rule, self.allows(at)) {
            (Rule::Refuse(decision, errno), false) => Some((Some(decision), errno)),
            (_, false) => Some((None, Errno::EPERM)),
            (Rule::Test(test), true) => self.follow(test.node(), arguments),
            (_, true) => None,
        }
    }

    /// Where a test leads: to an error or not.
    fn follow(&self, node: &Node, arguments: &[u64; 6]) -> Option<(Option<Decision>, Errno)> {
        match node {
            Node::Allow => None,
            Node::Refuse(decision, errno) => (!self.opens(*decision)).then_some((Some(*decision), *errno)),
            Node::If { argument, mask, is, then, otherwise } => {
                let value = arguments[usize::from(*argument)] as u32 & mask;
                let holds = self.values(is).contains(&value);
                self.follow(if holds { then } else { otherwise }, arguments)
            }
            Node::IfNull { argument, then, otherwise } => {
                let is_null = arguments[usize::from(*argument)] == 0;
                self.follow(if is_null { then } else { otherwise }, arguments)
            }
        }
    }

    /// The values of a question.
    pub(super) fn values(&self, is: &Values) -> Vec<u32> {
        match is {
            Values::Any(values) => values.to_vec(),
            Values::Personality => vec![self.persona, u32::MAX],
        }
    }
}

/// The place in the table of a number on a processor.
pub fn position(architecture: Architecture, number: u32) -> Option<usize> {
    CALLS.iter().position(|call| call.number(architecture).map(u32::from) == Some(number))
}

/// The arguments of a call, but for what nothing is decided by, which is 0; a pointer is 1.
pub fn decisive(at: usize, arguments: &[u64; 6]) -> [u64; 6] {
    fn follow(node: &Node, arguments: &[u64; 6], kept: &mut [u64; 6]) {
        match node {
            Node::Allow | Node::Refuse(..) => {}
            Node::If { argument, mask, then, otherwise, .. } => {
                let argument = usize::from(*argument);
                kept[argument] |= arguments[argument] & u64::from(*mask);
                follow(then, arguments, kept);
                follow(otherwise, arguments, kept);
            }
            Node::IfNull { argument, then, otherwise } => {
                kept[usize::from(*argument)] = u64::from(arguments[usize::from(*argument)] != 0);
                follow(then, arguments, kept);
                follow(otherwise, arguments, kept);
            }
        }
    }
    let mut kept = [0; 6];
    if let Rule::Test(test) = CALLS[at].rule {
        follow(test.node(), arguments, &mut kept);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::super::step::CapabilitySet;
    use super::super::profiles::Profile;
    use super::super::table::find;
    use super::*;

    fn refuses(policy: &Policy, name: &str, arguments: &[u64]) -> Option<(Option<Decision>, Errno)> {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        policy.refuses_at(find(name).unwrap(), &all)
    }

    #[test]
    fn a_call_is_judged_by_its_arguments() {
        let default = Policy::DEFAULT;
        for (name, arguments, expected) in [
            ("read", &[][..], None),
            ("ptrace", &[], Some((Some(Decision::Tracing), Errno::EPERM))),
            ("clone", &[0x0120_0011], None),
            ("clone", &[0x1000_0011], Some((Some(Decision::Namespaces), Errno::EPERM))),
            ("socket", &[2, 0x80001, 6], None),
            ("socket", &[2, 3, 1], Some((Some(Decision::RawSockets), Errno::EPERM))),
            ("socket", &[16, 3, 9], Some((Some(Decision::Netlink), Errno::EPROTONOSUPPORT))),
            ("open", &[0, 0o100, 0o4755], Some((Some(Decision::SetId), Errno::EPERM))),
            ("open", &[0, 0, 0o4755], None),
            ("personality", &[0xffff_ffff], None),
            ("prlimit64", &[0, 4, 1, 0], Some((Some(Decision::CoreLimit), Errno::Success))),
            ("prlimit64", &[0, 4, 0, 1], None),
        ] {
            assert_eq!(refuses(&default, name, arguments), expected, "{name} {arguments:?}");
        }
        let compute = Policy::profile(Profile::Compute, CapabilitySet(0));
        assert_eq!(refuses(&compute, "connect", &[]), Some((None, Errno::EPERM)));
        assert_eq!(
            refuses(&compute, "socketpair", &[1, 2]),
            Some((Some(Decision::Datagrams), Errno::EPROTONOSUPPORT))
        );
    }

    #[test]
    fn arguments_that_do_not_matter_are_left_out() {
        let of = |name, arguments| decisive(find(name).unwrap(), &arguments);
        assert_eq!(of("socket", [2, 0x80801, 6, 7, 8, 9]), [2, 1, 6, 0, 0, 0]);
        assert_eq!(of("connect", [3, 4, 5, 6, 7, 8]), [0; 6]);
        assert_eq!(of("prlimit64", [0, 4, 0x7fff_0000, 0, 0, 0]), [0, 4, 1, 0, 0, 0]);
    }
}
