//! What a policy answers to one call, read from the table in the plainest way: for those who look at calls one by one, and for the tests
//! of the compiler.

use super::arguments::{Node, Values};
use super::policy::Policy;
use super::{Architecture, CALLS, Errno, Rule};

impl Policy {
    /// The error that a call would get, by its number and its arguments; none if it is made. A number that nobody knows gets what an
    /// older kernel says.
    pub fn refuses(&self, architecture: Architecture, number: u32, arguments: &[u64; 6]) -> Option<Errno> {
        let Some(at) = position(architecture, number) else { return Some(Errno::ENOSYS) };
        match (CALLS[at].rule, self.allows(at)) {
            (Rule::Refuse(_, errno), false) => Some(errno),
            (_, false) => Some(Errno::EPERM),
            (Rule::Test(test), true) => self.follow(test.node(), arguments),
            (_, true) => None,
        }
    }

    /// Where a test leads: to an error or not.
    fn follow(&self, node: &Node, arguments: &[u64; 6]) -> Option<Errno> {
        match node {
            Node::Allow => None,
            Node::Refuse(decision, errno) => (!self.opens(*decision)).then_some(*errno),
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
