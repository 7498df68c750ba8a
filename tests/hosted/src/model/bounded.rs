//! A search of all schedules with few preemptions.
//!
//! Most bugs need few: a thread that is stopped at one point or two, where it
//! could have gone on. So a program of a thousand points has a thousand
//! schedules with one preemption and half a million with two, where it has
//! more than can be counted without that bound.

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};

/// A point of the schedule before: which of how many ways was taken.
struct Level {
    way: usize,
    ways: usize,
}

/// See the module.
pub(super) struct Bounded {
    runs: usize,
    preemptions: usize,
    levels: Vec<Level>,
    step: usize,
    preempted: usize,
    begun: bool,
}

impl Bounded {
    /// At most `runs` schedules with so many preemptions.
    pub(super) fn new(runs: usize, preemptions: usize) -> Bounded {
        Bounded {
            runs,
            preemptions,
            levels: Vec::new(),
            step: 0,
            preempted: 0,
            begun: false,
        }
    }
}

impl Scheduler for Bounded {
    fn new_execution(&mut self) -> Option<Schedule> {
        if self.begun {
            // The last point where there is another way yet.
            let exhausted = |level: &Level| level.way + 1 >= level.ways;
            while self.levels.last().is_some_and(exhausted) {
                self.levels.pop();
            }
            self.levels.last_mut()?.way += 1;
        }
        self.begun = true;
        self.runs = self.runs.checked_sub(1)?;
        self.step = 0;
        self.preempted = 0;
        Some(Schedule::new(0))
    }

    fn next_task(
        &mut self,
        tasks: &[&Task],
        current: Option<TaskId>,
        _is_yielding: bool,
    ) -> Option<TaskId> {
        // The first way is to go on.
        let goes_on = tasks.iter().position(|task| Some(task.id()) == current);
        let ways = match goes_on {
            Some(_) if self.preempted >= self.preemptions => 1,
            _ => tasks.len(),
        };
        if self.step == self.levels.len() {
            self.levels.push(Level { way: 0, ways });
        }
        let level = &self.levels[self.step];
        assert_eq!(level.ways, ways, "the program is not deterministic");
        let way = level.way;
        self.step += 1;
        let chosen = match goes_on {
            None => way,
            Some(current) if way == 0 => current,
            Some(current) => {
                self.preempted += 1;
                // The others, in order.
                way - usize::from(way <= current)
            }
        };
        Some(tasks[chosen].id())
    }

    fn next_u64(&mut self) -> u64 {
        0
    }
}
