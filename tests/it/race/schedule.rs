//! Schedules: the order in which the steps of racing tasks are taken.

/// The order of steps: a list of choices, each among so many.
pub(super) trait Schedule {
    fn choose(&mut self, options: usize) -> usize;
}

/// Depth-first over all orders: the deepest choice with an untried alternative advances, and later choices start over.
#[derive(Default)]
pub(super) struct Every {
    choices: Vec<(usize, usize)>,
    made: usize,
}

impl Schedule for Every {
    fn choose(&mut self, options: usize) -> usize {
        if self.made == self.choices.len() {
            self.choices.push((0, options));
        }
        let (choice, known) = self.choices[self.made];
        assert_eq!(known, options, "the same choices lead to the same state");
        self.made += 1;
        choice
    }
}

impl Every {
    /// Turns to the next order; false after the last.
    pub(super) fn advance(&mut self) -> bool {
        self.made = 0;
        while let Some((choice, options)) = self.choices.pop() {
            if choice + 1 < options {
                self.choices.push((choice + 1, options));
                return true;
            }
        }
        false
    }
}

pub(super) struct Random(pub(super) fastrand::Rng);

impl Schedule for Random {
    fn choose(&mut self, options: usize) -> usize {
        self.0.usize(..options)
    }
}
