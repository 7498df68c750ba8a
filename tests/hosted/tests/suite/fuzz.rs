//! Random histories: whatever a server and its callers do at the same time,
//! the kernel goes on, and nothing is left. What a server can write, one thing
//! after the other, is for the fuzz targets in `tests/fuzz`.

use proptest::prelude::*;
use puffs_hosted::{
    bench::{quiet_args, Bench},
    kernel::{self, MNT_FORCE},
    server::Frame,
    user::Task,
    vnops,
};
use puffs_rs::{
    abi::{vn, Req},
    kern::Result,
};

/// How one frame of the server's is made from a request that it read.
#[derive(Clone, Debug)]
struct Mutation {
    id: Option<u64>,
    class: Option<u16>,
    op: Option<u16>,
    rv: i32,
    setbacks: u32,
    len: usize,
    bytes: Vec<(u16, u8)>,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    (
        proptest::option::weighted(0.2, 0..40_u64),
        proptest::option::weighted(0.2, 0..64_u16),
        proptest::option::weighted(0.2, 0..60_u16),
        prop_oneof![4 => Just(0), 1 => -5..110_i32, 1 => any::<i32>()],
        any::<u32>(),
        prop_oneof![8..64_usize, 56..3000_usize],
        proptest::collection::vec((any::<u16>(), any::<u8>()), 0..20),
    )
        .prop_map(|(id, class, op, rv, setbacks, len, bytes)| Mutation {
            id,
            class,
            op,
            rv,
            setbacks,
            len,
            bytes,
        })
}

impl Mutation {
    fn apply(&self, request: &Frame) -> Frame {
        let mut frame = request.clone();
        frame.resize(self.len.max(size_of::<Req>()));
        let len = frame.len();
        for &(at, value) in &self.bytes {
            let start = size_of::<Req>();
            if len > start {
                frame.bytes_mut()[start + usize::from(at) % (len - start)] = value;
            }
        }
        let header = frame.req_mut();
        header.id = self.id.unwrap_or(header.id);
        header.opclass = self.class.unwrap_or(header.opclass);
        header.optype = self.op.unwrap_or(header.optype);
        header.rv = self.rv;
        header.setbacks = self.setbacks;
        frame.resize(self.len.max(8));
        frame
    }
}

/// Ends a mount in whatever state it is.
fn end(bench: Bench, calls: Vec<Task<Result<()>>>) {
    bench.die();
    for call in calls {
        // Any outcome will do, but there must be one.
        let _ = call.join();
    }
    bench.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    /// Good and bad things in random order: calls, signals, replies, flushes,
    /// unmounts.
    #[test]
    fn random_histories(steps in proptest::collection::vec((0..7_u8, any::<u8>(), mutation()), 1..40)) {
        let bench = Bench::with(&quiet_args());
        let mut calls = Vec::new();
        let mut requests: Vec<Frame> = Vec::new();
        let root = bench.root();
        let client = bench.client();
        client.file().set_nonblock(true);
        for (step, pick, mutation) in steps {
            match step {
                0 | 1 => {
                    let root = root.again();
                    calls.push(bench.call(move |_| {
                        vnops::request::<vn::Seek, _>(&root, 0, 0, |_, _| {}, |_, _| ())
                    }));
                }
                2 => {
                    if let Some(call) = calls.get(usize::from(pick) % calls.len().max(1)) {
                        call.signal(kernel::SIGINT);
                    }
                }
                3 => bench.server.run(|_| {
                    if let Ok(frame) = client.read() {
                        requests.push(frame);
                    }
                }),
                4 => if !requests.is_empty() {
                    let request = requests.swap_remove(usize::from(pick) % requests.len());
                    let _ = bench.server.run(|_| client.write(&request.reply_header()));
                },
                5 => if let Some(request) = requests.first() {
                    let _ = bench.server.run(|_| client.write(&mutation.apply(request)));
                },
                _ => if pick < 30 {
                    let mount = bench.mount.clone();
                    let umount = bench.call(move |_| kernel::unmount_mount(&mount, MNT_FORCE));
                    umount.signal(kernel::SIGTERM);
                    calls.push(umount);
                },
            }
        }
        drop(root);
        bench.server.run(|_| drop(client));
        end(bench, calls);
    }
}
