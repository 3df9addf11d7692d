//! The limit on the time that all processes of a jail are on processors together. Their control group knows it, the time of ended ones
//! included; where there is none, what /proc tells of each is added up. Neither says when it is over, so it is looked at again when
//! at the earliest it can be.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::cgroup::ControlGroups;
use super::processes::{self, Times};

/// Shortest time between two looks: so much on each processor a jail may have more than its limit.
const SHORTEST: Duration = Duration::from_millis(2);

/// Longest time between two looks at /proc: of a process whose end nobody waits for, what it has used since the last look is lost.
const LONGEST: Duration = Duration::from_millis(50);

/// Part of the time that may go into looking at /proc.
const SHARE: u32 = 20;

/// The limit and what is known of its use.
pub(super) struct ProcessorTime<'a> {
    limit: Duration,
    groups: &'a ControlGroups,
    sum: Sum,
    next: Instant,
    processors: u32,
}

impl<'a> ProcessorTime<'a> {
    /// Nothing used yet.
    pub(super) fn new(limit: Duration, groups: &'a ControlGroups) -> Self {
        let online = nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN);
        let processors = online.ok().flatten().and_then(|count| count.try_into().ok()).unwrap_or(1).max(1);
        let mut new = Self { limit, groups, sum: Sum::default(), next: Instant::now(), processors };
        new.next += new.pause(Duration::ZERO, groups.time().is_none());
        new
    }

    /// When to look again.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Whether it is time to look, and the limit is reached by PID 1 and everything below it.
    pub(super) fn is_over(&mut self, first: i32) -> bool {
        let began = Instant::now();
        if began < self.next {
            return false;
        }
        let used = self.used(first);
        let now = Instant::now();
        let pause = self.pause(used, self.groups.time().is_none());
        self.next = now + pause.max((now - began) * SHARE);
        used >= self.limit
    }

    /// Whether it was reached when all have ended, PID 1 being there to be asked still.
    pub(super) fn was_over(&mut self, first: i32) -> bool {
        self.used(first) >= self.limit
    }

    /// What has been used.
    fn used(&mut self, first: i32) -> Duration {
        self.groups.time().unwrap_or_else(|| {
            let used = self.sum.add(&processes::times_below(first));
            self.groups.note_time(used);
            used
        })
    }

    /// How long the rest lasts if every processor works for the jail.
    fn pause(&self, used: Duration, by_processes: bool) -> Duration {
        let left = (self.limit.saturating_sub(used) / self.processors).max(SHORTEST);
        if by_processes { left.min(LONGEST) } else { left }
    }
}

/// The sum over processes that come and go.
#[derive(Default)]
struct Sum {
    /// The own time of each that was there at the last look, by its number and when it was started.
    seen: BTreeMap<(i32, u64), Duration>,
    /// That of those which have gone.
    gone: Duration,
}

impl Sum {
    /// One more look. What ended children have used their parents tell, if they have waited for them; of the others what was seen last
    /// is kept. Either is too little at most, so the greater one counts.
    fn add(&mut self, found: &[Times]) -> Duration {
        let told: Duration = found.iter().map(|times| times.own + times.of_ended).sum();
        let now = found.iter().map(|times| ((times.pid, times.started), times.own)).collect();
        let before = std::mem::replace(&mut self.seen, now);
        self.gone += before
            .iter()
            .filter(|(who, _)| !self.seen.contains_key(who))
            .map(|(_, time)| *time)
            .sum::<Duration>();
        told.max(self.gone + self.seen.values().sum::<Duration>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_of_those_that_go_and_nothing_counted_twice() {
        let times = |pid, own, of_ended| Times {
            pid,
            started: 7,
            own: Duration::from_millis(own),
            of_ended: Duration::from_millis(of_ended),
        };
        let mut sum = Sum::default();
        let mut look = |found: &[Times]| sum.add(found).as_millis();
        assert_eq!(look(&[times(1, 10, 0), times(2, 100, 0)]), 110);
        // Waited for, it has become its parent's; not waited for, it is known from the last look.
        assert_eq!(look(&[times(1, 20, 100)]), 120);
        assert_eq!(look(&[times(1, 20, 100), times(3, 50, 0)]), 170);
        assert_eq!(look(&[times(1, 20, 100)]), 170);
        // What nobody has seen its parent tells.
        assert_eq!(look(&[times(1, 20, 500)]), 520);
    }
}
