//! What a request costs in the core, on the hosted kernel: as little of a kernel
//! as there can be around it.
//!
//! ```text
//! cargo bench -p puffs-hosted --bench messages
//! ```

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion};
use puffs_hosted::{
    bench::{attributes, header_frame, Bench, MNT},
    kernel::{Actor, VnodeRef},
    server::{Client, Frame},
    vnops::poll_file,
};
use puffs_rs::{
    abi::{vn, Cookie, OpClass, VnOp, Vtype},
    kern::Errno,
};
use std::hint::black_box;
use zerocopy::{FromBytes, IntoBytes};

const IN: i32 = 1;

/// The cookie of the first file; the others follow, as far from each other as a
/// server's pointers are.
const FILES: usize = 0x10_0000;
const APART: usize = 64;

/// The id of no request.
const NOBODY: u64 = 1 << 40;

/// A kernel with a file whose server has so many other requests, and the two
/// sides as threads that the calling one is in turn.
struct Stage {
    bench: Bench,
    client: Client,
    user: Actor,
    server: Actor,
    file: VnodeRef,
    /// The others, and what is asked about them.
    others: Vec<VnodeRef>,
    held: Vec<Frame>,
    room: Vec<u128>,
}

impl Stage {
    fn with(outstanding: usize) -> Stage {
        let bench = Bench::new();
        let file = |number: usize| {
            let cookie = Cookie(FILES + number * APART);
            bench.file(&format!("f{number}"), cookie, Vtype::Reg, 0)
        };
        let (measured, others) = (file(0), (1..=outstanding).map(file).collect());
        let mut stage = Stage {
            client: bench.client(),
            user: bench.user.actor("user"),
            server: bench.server.actor("server"),
            file: measured,
            others,
            held: Vec::new(),
            room: vec![0; 512],
            bench,
        };
        for other in &stage.others {
            let asked = stage.user.run(|| poll_file(other, IN, false));
            assert_eq!(asked, Ok(0));
            stage.held.push(stage.bench.next::<vn::Poll>());
        }
        stage
    }

    /// A request is made that nobody sleeps for, is read, and is answered: all of
    /// the way of a request but the caller's sleep.
    fn request(&mut self) {
        let asked = self.user.run(|| poll_file(&self.file, IN, false));
        assert_eq!(asked, Ok(0));
        let (client, room) = (&self.client, self.room.as_mut_bytes());
        let answered = self.server.run(|| {
            let len = client.file().read(room)?;
            match vn::Poll::mut_from_prefix(room) {
                Ok((request, _)) => request.events = 0,
                Err(_) => unreachable!("there is room for it"),
            }
            client.file().write(&room[..len])
        });
        assert!(black_box(answered).is_ok());
    }

    /// A reply comes that answers nothing, and the server hears of it.
    fn nonsense(&mut self) {
        let reply = header_frame(OpClass::Vn.into(), VnOp::Getattr.into(), NOBODY);
        let (client, room) = (&self.client, self.room.as_mut_bytes());
        let refused = self.server.run(|| {
            let _ = client.file().write(reply.bytes());
            client.file().read(room)
        });
        assert!(black_box(refused).is_ok());
    }

    fn finish(self) {
        let answer = |request: &Frame| request.reply_with::<vn::Poll>(|reply| reply.events = 0);
        self.held
            .iter()
            .for_each(|held| self.bench.send(&answer(held)));
        drop((self.file, self.others, self.client));
        self.bench.finish();
    }
}

/// By how many other requests the server has not answered.
fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request");
    for outstanding in [0, 16, 256, 2048] {
        let mut stage = Stage::with(outstanding);
        let id = BenchmarkId::from_parameter(outstanding);
        group.bench_function(id, |bencher| bencher.iter(|| stage.request()));
        stage.finish();
    }
    group.finish();
}

fn refusals(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("nonsense");
    for outstanding in [0, 2048] {
        let mut stage = Stage::with(outstanding);
        let id = BenchmarkId::from_parameter(outstanding);
        group.bench_function(id, |bencher| bencher.iter(|| stage.nonsense()));
        stage.finish();
    }
    group.finish();
}

/// A caller that sleeps until its reply is there, and a server that sleeps until
/// there is a request.
fn sleepers(criterion: &mut Criterion) {
    let bench = Bench::new();
    let client = bench.client();
    let server = bench.server.spawn("server", move |_| loop {
        match client.read() {
            Ok(request) if request.is::<vn::Getattr>() => {
                assert_eq!(client.write(&attributes(&request, Vtype::Dir, 512)), Ok(()));
            }
            Ok(request) => {
                assert_eq!(client.write(&request.reply_header()), Ok(()));
            }
            Err(error) => return error,
        }
    });
    let user = bench.user.actor("user");
    criterion.bench_function("getattr", |bencher| {
        bencher.iter(|| user.run(|| bench.user.stat(MNT)));
    });
    assert_eq!(bench.unmount_by_force(), Ok(()));
    assert!(matches!(server.join(), Errno::ENXIO | Errno::ENOENT));
    bench.finish();
}

criterion_group!(messages, requests, refusals, sleepers);
criterion_main!(messages);
