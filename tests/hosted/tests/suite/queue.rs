//! The order in which requests go to the server.

use proptest::prelude::*;
use puffs_hosted::kernel::Kernel;
use puffs_rs::{
    kern::{Pool, Ref, Sleep},
    msgif::{Queue, Rank, PATIENCE},
};

/// A request of the model: its number.
struct Numbered(usize);

static NUMBERED: Pool<Numbered> = Pool::new();

/// What is done with the queue.
#[derive(Clone, Copy, Debug)]
enum Step {
    Push(Rank),
    Pop,
    /// Takes the one off that is at this place of those that are there, if there
    /// are so many.
    Remove(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Push(Rank::Background)),
        6 => Just(Step::Push(Rank::Ahead)),
        1 => Just(Step::Push(Rank::InOrder)),
        8 => Just(Step::Pop),
        1 => (0..100_usize).prop_map(Step::Remove),
    ];
    proptest::collection::vec(step, 0..600)
}

/// The queue, and what is in it.
#[derive(Default)]
struct Model {
    queue: Queue<Numbered>,
    /// In the order in which they came.
    there: Vec<(Ref<Numbered>, Rank)>,
    pushed: usize,
    /// How many were ahead of an older one since one of the background went.
    overtook: u32,
}

impl Model {
    fn push(&mut self, rank: Rank) {
        let item = NUMBERED.get(Numbered(self.pushed), Sleep::Yes).unwrap();
        assert!(self.queue.push(item.clone(), rank).is_ok());
        self.there.push((item, rank));
        self.pushed += 1;
    }

    /// The rank of the one that goes, which may.
    fn pop(&mut self) -> Option<Rank> {
        let Some(popped) = self.queue.pop() else {
            assert!(self.there.is_empty(), "one was lost");
            return None;
        };
        let place = self.there.iter().position(|(item, _)| item.0 == popped.0);
        let place = place.expect("one that is not there any more");
        let (_, rank) = self.there.remove(place);
        for (_, other) in &self.there[..place] {
            let pair = (rank, *other);
            assert_eq!(pair, (Rank::Ahead, Rank::Background), "out of order");
        }
        self.overtook += u32::from(place > 0);
        assert!(self.overtook <= PATIENCE, "the background starves");
        if rank == Rank::Background {
            let mut rest = self.there.iter().map(|(_, rank)| *rank);
            let next = rest.find(|rank| *rank != Rank::Background);
            let patient = next == Some(Rank::Ahead) && self.overtook < PATIENCE;
            assert!(!patient, "one waits for the background");
            self.overtook = 0;
        }
        Some(rank)
    }

    fn remove(&mut self, place: usize) {
        if place < self.there.len() {
            let (item, _) = self.there.remove(place);
            assert!(self.queue.remove(&item).is_some());
            assert!(self.queue.remove(&item).is_none());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    /// None is lost, overtaken that must not be, or starves.
    #[test]
    fn only_the_background_is_overtaken_and_not_for_ever(steps in steps()) {
        let kernel = Kernel::boot();
        NUMBERED.init(c"numbered");
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Push(rank) => model.push(rank),
                Step::Pop => drop(model.pop()),
                Step::Remove(place) => model.remove(place),
            }
            prop_assert_eq!(model.queue.len(), model.there.len());
        }
        while model.pop().is_some() {}
        prop_assert!(model.queue.is_empty());
        drop(model);
        NUMBERED.destroy();
        kernel.shutdown();
    }
}

/// In a queue of `before` in the background and `ahead` that overtake, how many go
/// before the first of the background, and how many until the last of it is gone.
fn overtakers(before: usize, ahead: usize) -> (usize, usize) {
    let kernel = Kernel::boot();
    NUMBERED.init(c"numbered");
    let mut model = Model::default();
    (0..before).for_each(|_| model.push(Rank::Background));
    (0..ahead).for_each(|_| model.push(Rank::Ahead));
    let order: Vec<_> = std::iter::from_fn(|| model.pop()).collect();
    let background = |rank: &Rank| *rank == Rank::Background;
    let first = order.iter().position(background).unwrap();
    let last = order.iter().rposition(background).unwrap() + 1;
    drop(model);
    NUMBERED.destroy();
    kernel.shutdown();
    (first, last)
}

#[test]
fn a_request_overtakes_any_number_of_the_background() {
    assert_eq!(overtakers(3, 5), (5, 8));
    assert_eq!(overtakers(10_000, 1), (1, 10_001));
}

#[test]
fn the_background_goes_on_beside_requests_without_end() {
    let patience = PATIENCE as usize;
    assert_eq!(overtakers(3, 10_000), (patience, 3 * (patience + 1)));
}
