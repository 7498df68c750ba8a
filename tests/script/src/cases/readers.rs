//! How a server gets its frames: blocking or not, by poll and kevent, in
//! pieces, and from several threads.

use super::{
    crowd::{self, all_alike, another_mount_works, Crowd, LONG},
    kinds::path,
};
use crate::{
    case::{After, Case, Ends, Told},
    script::{attributes, header, Call, Notice, Script, MNT, ROOT},
    world::{Ability, Device},
    Frame,
};
use puffs_rs::{
    abi::{vfs, vn, OpClass, Vtype},
    kern::{Errno, Result},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

const FAMILY: &str = "readers";

const SIGINT: i32 = 2;
const SIGUSR1: i32 = 30;

const SHORT: Duration = Duration::from_millis(1);

fn case(title: &'static str) -> Case {
    Case::new(FAMILY, title)
}

/// A caller who makes one request, and locks nothing.
fn ask(script: &Script) -> Call<Result<u64>> {
    script.call(|calls| calls.statvfs(MNT).map(|room| room.bfree))
}

/// A thread of the server that reads one frame.
fn read(script: &Script) -> Call<Result<Frame>> {
    let device = script.device.clone();
    script.call_as(&script.server, move |_| device.read())
}

fn must<T>(result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error:?}"),
    }
}

/// The frame is a request of [`ask`]'s; it is answered with its id.
fn serve(device: &dyn Device, request: &Frame) -> Result<()> {
    if !request.is::<vfs::Statvfs>() {
        return Ok(());
    }
    let reply = crate::statvfs(request, request.req().id);
    device.write(reply.bytes())
}

/// The cases of the family.
pub(super) fn cases() -> Vec<Case> {
    [
        single(),
        pieces(),
        descriptors(),
        threads(),
        interrupted(),
        outstanding(),
    ]
    .concat()
}

fn single() -> Vec<Case> {
    vec![
        case("a read that may not wait does not").body(|script| {
            let device = &script.device;
            assert!(must(device.try_read()).is_none());
            let call = ask(script);
            script.wait_queued(1);
            let request = must(device.try_read());
            assert!(must(device.try_read()).is_none());
            must(serve(&**device, &request.unwrap_or_else(|| Frame::new(0))));
            script.join(call).into()
        }),
        case("a read waits for a request").body(|script| {
            let reader = read(script);
            let call = ask(script);
            let request = must(script.join_aside(reader));
            must(serve(&*script.device, &request));
            script.join_aside(call).into()
        }),
        case("poll says whether there is a frame").body(|script| {
            let device = &script.device;
            assert_eq!(device.poll(SHORT), Ok(false));
            let call = ask(script);
            script.wait_queued(1);
            assert_eq!(device.poll(LONG), Ok(true));
            let request = script.next::<vfs::Statvfs>();
            assert_eq!(device.poll(SHORT), Ok(false));
            script.send(&crate::statvfs(&request, 1));
            script.join(call).into()
        }),
        case("poll waits for a frame").body(|script| {
            let device = script.device.clone();
            let poll = script.call_as(&script.server, move |_| device.poll(LONG));
            let call = ask(script);
            assert_eq!(script.join_aside(poll), Ok(true));
            let request = script.next::<vfs::Statvfs>();
            script.send(&crate::statvfs(&request, 1));
            script.join(call).into()
        }),
        case("kevent says how many frames there are").body(|script| {
            let device = &script.device;
            assert_eq!(device.kevent(SHORT), Ok(0));
            let calls: Vec<_> = (0..5).map(|_| ask(script)).collect();
            script.wait_queued(5);
            assert_eq!(device.kevent(LONG), Ok(5));
            for left in (0..5).rev() {
                let request = script.next::<vfs::Statvfs>();
                assert_eq!(device.kevent(SHORT), Ok(left));
                script.send(&crate::statvfs(&request, 1));
            }
            let ends = calls.into_iter().map(|call| script.join(call).map(drop));
            all_alike(&ends.collect::<Vec<_>>()).into()
        }),
        case("kevent waits for a frame").body(|script| {
            let device = script.device.clone();
            let event = script.call_as(&script.server, move |_| device.kevent(LONG));
            let call = ask(script);
            assert_eq!(script.join_aside(event), Ok(1));
            let request = script.next::<vfs::Statvfs>();
            script.send(&crate::statvfs(&request, 1));
            script.join(call).into()
        }),
        case("poll and kevent see complaints and answers, too")
            .told(Told::As("a complaint and an answer"))
            .body(|script| {
                // A reply to nothing, and a frame of a class that is none.
                script.send(&header(OpClass::Vn.into(), 0, 9999));
                script.send(&header(77, 0, 9999));
                assert_eq!(script.device.poll(LONG), Ok(true));
                assert_eq!(script.device.kevent(LONG), Ok(2));
                assert!(matches!(script.notice(), Notice::Complaint(..)));
                assert!(matches!(script.notice(), Notice::Response(9999, _)));
                assert_eq!(script.device.kevent(SHORT), Ok(0));
                Ends::Well
            }),
        case("the server writes while a thread of it reads").body(|script| {
            let call = ask(script);
            let request = script.next::<vfs::Statvfs>();
            let reader = read(script);
            script.send(&crate::statvfs(&request, 3));
            let ended = script.join_aside(call);
            // For the reader.
            let call = ask(script);
            let request = must(script.join_aside(reader));
            must(serve(&*script.device, &request));
            must(script.join_aside(call));
            ended.into()
        }),
        case("what follows a frame is not looked at").body(|script| {
            let call = ask(script);
            let request = script.next::<vfs::Statvfs>();
            let mut reply = crate::statvfs(&request, 3);
            let len = reply.len();
            reply.resize(len + 1000);
            reply.set_framelen(len);
            script.send(&reply);
            script.join(call).into()
        }),
    ]
}

/// Reads a frame in pieces.
fn in_pieces(script: &Script, piece: usize, len: usize) -> Frame {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let part = must(script.device.read_part(piece));
        assert_eq!(part.len(), piece.min(len - bytes.len()));
        bytes.extend(part);
    }
    Frame::from_bytes(&bytes)
}

fn pieces() -> Vec<Case> {
    const LEN: usize = size_of::<vfs::Statvfs>();
    let mut all: Vec<_> = [1, 8, 56, 100, LEN - 1, LEN]
        .into_iter()
        .map(|piece| {
            case("a frame is read in pieces")
                .variant(format!("{piece} bytes"))
                .body(move |script| {
                    let call = ask(script);
                    let request = in_pieces(script, piece, LEN);
                    must(serve(&*script.device, &request));
                    assert_eq!(script.join(call), Ok(request.req().id));
                    Ends::Well
                })
        })
        .collect();
    all.push(
        case("a reply to a request that is still being read is one to no request")
            .told(Told::Complaint(Errno::EINVAL.get()))
            .body(|script| {
                let call = ask(script);
                let head = must(script.device.read_part(64));
                let mut early = Frame::from_bytes(&head);
                early.resize(LEN);
                script.send(&crate::statvfs(&early, 1));
                let rest = must(script.device.read_part(LEN));
                assert_eq!(rest.len(), LEN - head.len());
                script.notice();
                script.send(&crate::statvfs(&early, 2));
                assert_eq!(script.join(call), Ok(2));
                Ends::Well
            }),
    );
    all.push(
        case("a frame that is being read is not among those to be read").body(|script| {
            let (one, two) = (ask(script), ask(script));
            script.wait_queued(2);
            let head = must(script.device.read_part(64));
            assert_eq!(script.device.kevent(SHORT), Ok(1));
            let mut bytes = head;
            bytes.extend(must(script.device.read_part(LEN)));
            must(serve(&*script.device, &Frame::from_bytes(&bytes)));
            let request = script.next::<vfs::Statvfs>();
            must(serve(&*script.device, &request));
            must(script.join(one));
            script.join(two).into()
        }),
    );
    all
}

/// A descriptor has no mount.
fn has_nothing(device: &dyn Device) {
    let none = Err(Errno::ENOENT);
    assert_eq!(device.read().map(drop), none);
    assert_eq!(device.try_read().map(drop), none);
    assert_eq!(device.read_part(10).map(drop), none);
    assert_eq!(device.write(header(0, 0, 1).bytes()), none);
    // There is nothing to wait for.
    assert_ne!(device.poll(LONG), Ok(false));
    assert_eq!(device.kevent(SHORT), Ok(0));
}

fn descriptors() -> Vec<Case> {
    vec![
        case("a descriptor that was not mounted with has nothing")
            .after(After::NeverWas)
            .body(|script| {
                has_nothing(&*script.device);
                Ends::Well
            }),
        case("a descriptor whose mount is gone has nothing")
            .after(After::ComesDown)
            .body(|script| {
                assert_eq!(script.unmount(true), Ok(()));
                has_nothing(&*script.device);
                another_mount_works(script);
                Ends::Well
            }),
        case("other descriptors of a server do not matter").body(|script| {
            let before = must(script.server.open_device());
            let after = must(script.server.open_device());
            has_nothing(&*before);
            let call = ask(script);
            let request = script.next::<vfs::Statvfs>();
            before.die();
            has_nothing(&*after);
            must(serve(&*script.device, &request));
            let ended = script.join(call);
            after.die();
            script.assert_alive();
            ended.into()
        }),
        case("a descriptor is closed before it is mounted with")
            .after(After::NeverWas)
            .caller(Ends::With(Errno::ENOENT))
            .body(|script| {
                // The mount that no descriptor is left for.
                let other = script.world.process("without");
                let device = must(other.open_device());
                device.die();
                let device = must(script.server.open_device());
                script.die();
                assert_eq!(device.mount(MNT, &crate::mount_args()), Ok(()));
                device.die();
                let device = must(other.open_device());
                assert_eq!(device.read().map(drop), Err(Errno::ENOENT));
                device.die();
                Ends::With(Errno::ENOENT)
            }),
    ]
}

/// How many threads of the server read.
const READERS: usize = 4;
/// How many callers there are, and what each asks.
const CALLERS: usize = 4;
const EACH: usize = 100;

/// Callers who ask again and again; each answer is another one's.
fn busy_callers(script: &Script) -> Vec<Call<Vec<u64>>> {
    let caller = |_| {
        script.call(|calls| {
            let ask = |_| must(calls.statvfs(MNT).map(|room| room.bfree));
            (0..EACH).map(ask).collect::<Vec<_>>()
        })
    };
    (0..CALLERS).map(caller).collect()
}

fn assert_served(script: &Script, callers: Vec<Call<Vec<u64>>>) {
    let mut ids = BTreeSet::new();
    for caller in callers {
        for id in script.join_aside(caller) {
            assert!(ids.insert(id), "two callers got one answer");
        }
    }
    assert_eq!(ids.len(), CALLERS * EACH);
}

fn threads() -> Vec<Case> {
    vec![
        case("four threads read, one at a time")
            .rows(&[7])
            .after(After::ComesDown)
            .body(|script| {
                let turn = Arc::new(Mutex::new(()));
                let reader = |_| {
                    let (device, turn) = (script.device.clone(), turn.clone());
                    script.call_as(&script.server, move |_| loop {
                        let request = {
                            let _mine = turn.lock().unwrap_or_else(PoisonError::into_inner);
                            match device.read() {
                                Ok(request) => request,
                                Err(_) => break,
                            }
                        };
                        if request.is::<vfs::Unmount>() {
                            must(device.write(request.reply_header().bytes()));
                        }
                        must(serve(&*device, &request));
                    })
                };
                let readers: Vec<_> = (0..READERS).map(reader).collect();
                assert_served(script, busy_callers(script));
                end(script, readers)
            }),
        case("four threads read at once")
            .rows(&[7, 23])
            .needs(Ability::SharedReaders)
            .after(After::ComesDown)
            .body(|script| {
                let readers = (0..READERS).map(|_| {
                    let device = script.device.clone();
                    script.call_as(&script.server, move |_| serve_all(&*device))
                });
                let readers: Vec<_> = readers.collect();
                assert_served(script, busy_callers(script));
                end(script, readers)
            }),
        case("four threads read at once when the server dies")
            .rows(&[7, 11])
            .needs(Ability::SharedReaders)
            .after(After::ComesDown)
            .caller(Ends::With(Errno::ENXIO))
            .args(crowd::set_args)
            .body(|script| {
                let crowd = Crowd::gather(script, 64);
                let readers = (0..READERS).map(|_| {
                    let device = script.device.clone();
                    script.call_as(&script.server, move |_| while device.read().is_ok() {})
                });
                let readers: Vec<_> = readers.collect();
                script.wait_aside("the requests to be read", || {
                    script.device.kevent(SHORT) == Ok(0)
                });
                script.die();
                for reader in readers {
                    script.join_aside(reader);
                }
                let ends = crowd.end(script);
                another_mount_works(script);
                all_alike(&ends).into()
            }),
    ]
}

/// Serves until the mount is gone.
fn serve_all(device: &dyn Device) {
    loop {
        match device.read() {
            // Two readers met, and the other got it all.
            Ok(request) if request.is_empty() => {}
            Ok(request) if request.is::<vfs::Unmount>() => {
                // It may be gone before the write returns.
                let _ = device.write(request.reply_header().bytes());
            }
            Ok(request) => must(serve(device, &request)),
            Err(_) => break,
        }
    }
}

fn end(script: &Script, readers: Vec<Call<()>>) -> Ends {
    let umount = script.call(|calls| calls.unmount(MNT, true));
    let ended = script.join_aside(umount);
    for reader in readers {
        script.join_aside(reader);
    }
    another_mount_works(script);
    ended.into()
}

fn interrupted() -> Vec<Case> {
    vec![
        case("a reader is interrupted")
            .needs(Ability::Signals)
            .caller(Ends::With(Errno::EINTR))
            .body(|script| {
                let reader = read(script);
                script.wait_aside("the reader to leave", || {
                    // Before it waits, a signal does not matter to it.
                    reader.signal(SIGUSR1);
                    reader.is_done()
                });
                script.join_aside(reader).into()
            }),
        case("readers are interrupted while others wait")
            .rows(&[7, 14])
            .needs(Ability::Signals)
            .needs(Ability::SharedReaders)
            .body(|script| {
                for _ in 0..50 {
                    let (first, second) = (read(script), read(script));
                    let call = ask(script);
                    script.wait_aside("the first reader to leave", || {
                        first.signal(SIGUSR1);
                        first.is_done()
                    });
                    let request = match script.join_aside(first) {
                        Ok(request) => {
                            script.wait_aside("the second reader to leave", || {
                                second.signal(SIGUSR1);
                                second.is_done()
                            });
                            assert_eq!(script.join_aside(second).map(drop), Err(Errno::EINTR));
                            request
                        }
                        Err(error) => {
                            assert_eq!(error, Errno::EINTR);
                            must(script.join_aside(second))
                        }
                    };
                    must(serve(&*script.device, &request));
                    must(script.join(call));
                }
                Ends::Well
            }),
        case("who left at the head of the queue is skipped")
            .rows(&[14])
            .needs(Ability::Signals)
            .body(|script| {
                let gone = ask(script);
                // The second locks the root, which the first has to walk by.
                script.wait_queued(1);
                let stays = script.call(|calls| calls.stat(MNT).map(drop));
                script.wait_queued(2);
                gone.signal(SIGINT);
                assert_eq!(script.join_aside(gone), Err(Errno::EINTR));
                let request = must(script.device.read());
                assert!(request.is::<vn::Getattr>());
                assert_eq!(request.req().cookie, ROOT);
                script.send(&attributes(&request, Vtype::Dir, 512));
                script.join(stays).into()
            }),
        case("all who are on the queue leave, and a reader waits for the next")
            .rows(&[14])
            .needs(Ability::Signals)
            .body(|script| {
                let calls: Vec<_> = (0..32).map(|_| ask(script)).collect();
                script.wait_queued(32);
                calls.iter().for_each(|call| call.signal(SIGINT));
                for call in calls {
                    assert_eq!(script.join_aside(call), Err(Errno::EINTR));
                }
                // Of theirs nothing is left; the kernel may have synced.
                script.settle();
                assert_eq!(script.count::<vfs::Statvfs>(), 0);
                assert_eq!(script.device.kevent(SHORT), Ok(0));
                assert_eq!(script.device.poll(SHORT), Ok(false));
                let reader = read(script);
                let call = ask(script);
                let request = must(script.join_aside(reader));
                must(serve(&*script.device, &request));
                script.join(call).into()
            }),
    ]
}

/// Which request is answered as the nth.
type Order = fn(usize) -> usize;

/// Replies to many requests, in every order.
fn outstanding() -> Vec<Case> {
    const COUNT: usize = 512;
    let order = |(words, order): (&'static str, Order)| {
        case("512 requests are answered")
            .variant(words)
            .rows(&[23])
            .args(crowd::set_args)
            .body(move |script| {
                let crowd = Crowd::gather(script, COUNT);
                Crowd::read(script, COUNT);
                let requests: Vec<_> = std::iter::from_fn(|| script.held()).collect();
                for nth in 0..COUNT {
                    script.send(&crowd::good(&requests[order(nth)]));
                }
                all_alike(&crowd.end(script)).into()
            })
    };
    let orders: [(&str, Order); 3] = [
        ("in their order", |nth| nth),
        ("in reverse", |nth| COUNT - 1 - nth),
        // 197 and 512 have no common divisor.
        ("in disorder", |nth| nth * 197 % COUNT),
    ];
    let mut all: Vec<_> = orders.into_iter().map(order).collect();
    all.push(
        case("a path is walked while 64 others wait")
            .args(crowd::set_args)
            .caller(Ends::With(Errno::ENOENT))
            .body(|script| {
                let crowd = Crowd::gather(script, 64);
                Crowd::read(script, 64);
                let walked = script.run(|calls| calls.stat(&path("nothing")).map(drop));
                while let Some(request) = script.held() {
                    script.send(&crowd::good(&request));
                }
                assert_eq!(all_alike(&crowd.end(script)), Ok(()));
                walked.into()
            }),
    );
    all
}
