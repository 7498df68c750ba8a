//! What holds on every schedule, as far as a search gets; see docs/TESTING.md.

use puffs_hosted::{
    bench::{attributes, Bench},
    kernel::VnodeRef,
    model::{explore, search, Search},
    server::{Client, Frame},
    user::Task,
    vnops,
};
use puffs_rs::{
    abi::{vn, Vtype},
    kern::{Errno, Result},
};
use std::time::Instant;

/// How many schedules each search of a model takes; `PUFFS_MODEL_RUNS` is
/// another number.
const RUNS: usize = 20_000;

/// Searches in each way that there is, and says how far that was.
fn model(program: fn()) {
    let runs = std::env::var("PUFFS_MODEL_RUNS");
    let runs = runs.ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS);
    let searches = [
        Search::Bounded {
            runs,
            preemptions: 2,
        },
        Search::Random { runs, seed: 1 },
        Search::Priorities {
            runs,
            depth: 3,
            seed: 2,
        },
    ];
    for how in searches {
        let begun = Instant::now();
        let ran = search(how, program);
        let each = begun.elapsed() / ran.max(1) as u32;
        println!("{how:?}: {ran} schedules, {each:?} each");
    }
}

/// A request that waits for the server and locks nothing.
fn seek(bench: &Bench, root: &VnodeRef) -> Task<Result<()>> {
    let root = root.again();
    bench.call(move |_| vnops::request::<vn::Seek, _>(&root, 0, 0, |_, _| {}, |_, _| ()))
}

/// The good reply to what the models ask.
fn good(request: &Frame) -> Frame {
    if request.is::<vn::Getattr>() {
        return attributes(request, Vtype::Dir, 77);
    }
    if request.is::<vn::Read>() {
        let len = request.get::<vn::Read>().resid;
        return request.reply_data::<vn::Read>(&vec![7; len], |reply| reply.resid = 0);
    }
    let mut reply = request.clone();
    reply.req_mut().rv = 0;
    if request.is::<vn::Write>() {
        return request.reply_with::<vn::Write>(|reply| reply.resid = 0);
    }
    if request.is::<vn::Poll>() {
        return request.reply_with::<vn::Poll>(|reply| reply.events = 1);
    }
    reply
}

/// Answers `count` requests and exits, or when there are no more to come.
fn serve(client: &Client, count: usize) {
    for _ in 0..count {
        let Ok(request) = client.read() else { return };
        if !request.is_faf() && !request.is_response() {
            // The mount may go away meanwhile.
            let _ = client.write(&good(&request));
        }
    }
}

/// A thread of the server's that does `work` with the descriptor.
fn server<T: Send + 'static>(
    bench: &Bench,
    work: impl FnOnce(Client) -> T + Send + 'static,
) -> Task<T> {
    let client = bench.client();
    bench.server.spawn("thread", move |_| work(client))
}

/// A server that answers one request and exits, with two callers: each has its
/// answer or ENXIO.
#[test]
fn a_caller_has_its_reply_or_the_servers_death() {
    model(|| {
        let bench = Bench::new();
        let root = bench.root();
        explore(|| {
            let thread = server(&bench, |client| serve(&client, 1));
            bench.die();
            let calls = [seek(&bench, &root), seek(&bench, &root)];
            thread.join();
            let ends = calls.map(Task::join);
            let known = |end: &Result<()>| matches!(end, Ok(()) | Err(Errno::ENXIO));
            assert!(ends.iter().all(known), "{ends:?}");
            let answered = ends.iter().filter(|end| end.is_ok()).count();
            assert!(answered <= 1, "{ends:?}");
        });
        drop(root);
        bench.finish();
    });
}
