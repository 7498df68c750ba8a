//! Unmounts, forced or not, with nothing and with everything under way.

use super::{
    crowd::{self, all_alike, another_mount_works, Crowd},
    kinds::{path, FILE, ROOM},
};
use crate::{
    case::{After, Case, Ends, Told},
    script::{ask_for, header, Answer, Call, Rule, Script, MNT},
    world::{Ability, Fd, How},
    Frame,
};
use puffs_rs::{
    abi::{vfs, vn, Cookie, KArgs, OpClass, VnOp, Vtype, SETBACK_NOREF_N1},
    kern::{Errno, Result},
};

const FAMILY: &str = "unmounting";

const SIGTERM: i32 = 15;
const EIO: i32 = 5;
const EBUSY: i32 = 16;

/// What the file system is like that is unmounted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dress {
    /// It was never used.
    Bare,
    /// It knows files that wait for their last words, and one that the server
    /// has given up while it was in use.
    Used,
}

const DRESSES: [(&str, Dress); 2] = [("unused", Dress::Bare), ("used", Dress::Used)];

/// How many files are known where some are.
const FILES: usize = 6;

impl Dress {
    /// Uses the file system, so that it looks like this.
    fn put_on(self, script: &Script) {
        if self == Dress::Bare {
            return;
        }
        for nth in 0..FILES {
            let cookie = Cookie(0x20_0000 + nth * 0x100);
            script.file(&format!("u{nth}"), cookie, Vtype::Reg, 512);
        }
        // The server gives the last one up.
        let given_up = Cookie(0x20_0000 + (FILES - 1) * 0x100);
        script.allow(Rule::on::<vn::Getattr>().of(given_up).reply(|request| {
            let mut reply = crate::attributes(request, Vtype::Reg, 512);
            reply.req_mut().setbacks = SETBACK_NOREF_N1;
            reply
        }));
        let used: Result<()> = script.run(|calls| {
            (0..FILES).try_for_each(|nth| calls.stat(&path(&format!("u{nth}"))).map(drop))
        });
        assert_eq!(used, Ok(()));
        // Its last word is on the queue then, where it would pass for a
        // request of the case's own.
        script.until("the file that was given up to be forgotten", || {
            script.count::<vn::Reclaim>() == 1
        });
    }

    /// All files had their last words.
    fn assert_off(self, script: &Script) {
        if self == Dress::Used {
            assert_eq!(script.count::<vn::Reclaim>(), FILES);
            assert!(script.count::<vn::Inactive>() >= FILES);
        }
    }
}

fn args(args: &mut KArgs) {
    crowd::set_args(args);
    ask_for(args, &[VnOp::Inactive, VnOp::Reclaim]);
}

/// A case on every kind of file system, by force or not.
fn dressed(
    title: &'static str,
    forces: &[bool],
    caller: Ends,
    after: After,
    body: fn(&Script, bool, Dress) -> Ends,
) -> Vec<Case> {
    let mut all = Vec::new();
    for &force in forces {
        for (words, dress) in DRESSES {
            let how = if force { "by force" } else { "not by force" };
            all.push(
                case(title)
                    .variant(format!("{how}, {words}"))
                    .caller(caller)
                    .after(after)
                    .body(move |script| {
                        dress.put_on(script);
                        body(script, force, dress)
                    }),
            );
        }
    }
    all
}

fn case(title: &'static str) -> Case {
    Case::new(FAMILY, title).args(args).after(After::ComesDown)
}

const BOTH: [bool; 2] = [false, true];

/// Starts an unmount, up to where the server is asked.
fn start(script: &Script, force: bool) -> (Call<Result<()>>, Frame) {
    let umount = script.call(move |calls| calls.unmount(MNT, force));
    let request = script.next::<vfs::Unmount>();
    let flags = request.get::<vfs::Unmount>().flags;
    assert_eq!(flags & MNT_FORCE != 0, force);
    (umount, request)
}

/// `MNT_FORCE`.
const MNT_FORCE: i32 = 0x80000;

/// An open file.
fn busy(script: &Script) -> Fd {
    script.file("f", FILE, Vtype::Reg, 4096);
    match script.run(|calls| calls.open(&path("f"), How::default())) {
        Ok(file) => file,
        Err(error) => panic!("open: {error:?}"),
    }
}

fn close(script: &Script, file: Fd) {
    assert_eq!(script.run(move |calls| calls.close(file)), Ok(()));
}

/// The cases of the family.
pub(super) fn cases() -> Vec<Case> {
    [
        dressed(
            "an unmount that the server agrees to",
            &BOTH,
            Ends::Well,
            After::ComesDown,
            |script, force, dress| {
                let (umount, request) = start(script, force);
                // The files went before the server is asked.
                dress.assert_off(script);
                assert_eq!(script.count::<vfs::Sync>(), usize::from(!force));
                script.send(&request.reply_header());
                let ended = script.join(umount);
                another_mount_works(script);
                ended.into()
            },
        ),
        dressed(
            "an unmount that the server refuses",
            &[false],
            Ends::With(Errno::EBUSY),
            After::GoesOn,
            |script, force, _| {
                script.expect(Rule::on::<vfs::Unmount>().reply(|asked| asked.reply_error(EBUSY)));
                script.unmount(force).into()
            },
        ),
        dressed(
            "an unmount that the server refuses in vain",
            &[true],
            Ends::Well,
            After::ComesDown,
            |script, force, _| {
                script.expect(Rule::on::<vfs::Unmount>().reply(|asked| asked.reply_error(EBUSY)));
                let ended = script.unmount(force);
                another_mount_works(script);
                ended.into()
            },
        ),
        dressed(
            "an unmount whose SYNC fails",
            &[false],
            Ends::With(Errno::EIO),
            After::GoesOn,
            |script, force, _| {
                script.expect(Rule::on::<vfs::Sync>().reply(|asked| asked.reply_error(EIO)));
                let ended = script.unmount(force);
                assert_eq!(script.count::<vfs::Unmount>(), 0);
                ended.into()
            },
        ),
        dressed(
            "an unmount that the server never answers until it is killed",
            &BOTH,
            Ends::Well,
            After::ComesDown,
            |script, force, _| {
                let (umount, _) = start(script, force);
                script.die();
                let ended = script.join(umount);
                another_mount_works(script);
                ended.into()
            },
        ),
        dressed(
            "an unmount with requests on the queue and at the server",
            &[true],
            Ends::With(Errno::ENXIO),
            After::ComesDown,
            |script, force, _| {
                let calls: Vec<_> = (0..8)
                    .map(|_| script.call(|calls| calls.statvfs(MNT).map(drop)))
                    .collect();
                script.wait_queued(calls.len());
                for _ in 0..calls.len() / 2 {
                    script.next::<vfs::Statvfs>();
                }
                script.allow(Rule::on::<vfs::Statvfs>());
                let ended = script.unmount(force);
                assert_eq!(ended, Ok(()));
                let ends = calls.into_iter().map(|call| script.join(call));
                let ends: Vec<_> = ends.collect();
                another_mount_works(script);
                all_alike(&ends).into()
            },
        )
        .into_iter()
        .map(|case| case.needs(Ability::DyingStatvfs))
        .collect(),
        dressed(
            "an unmount with a request at the server keeps the file system busy",
            &[false],
            Ends::With(Errno::EBUSY),
            After::GoesOn,
            |script, force, _| {
                let call = script.call(|calls| calls.statvfs(MNT).map(drop));
                let request = script.next::<vfs::Statvfs>();
                let ended = script.unmount(force);
                assert_eq!(script.count::<vfs::Unmount>(), 0);
                script.send(&crate::statvfs(&request, 1));
                assert_eq!(script.join(call), Ok(()));
                ended.into()
            },
        ),
        dressed(
            "two unmounts at once",
            &BOTH,
            Ends::As("success for one; EINVAL or ENOENT for the other"),
            After::ComesDown,
            |script, force, _| {
                let umount = move |script: &Script| {
                    script.call(move |calls| loop {
                        match calls.unmount(MNT, force) {
                            // The other one has the root in its hands.
                            Err(Errno::EBUSY) => std::thread::yield_now(),
                            ended => break ended,
                        }
                    })
                };
                let (one, two) = (umount(script), umount(script));
                let ends = [script.join(one), script.join(two)];
                assert_eq!(ends.iter().filter(|end| end.is_ok()).count(), 1, "{ends:?}");
                assert!(ends.iter().all(|&end| is_over(end)), "{ends:?}");
                another_mount_works(script);
                Ends::As("success for one; EINVAL or ENOENT for the other")
            },
        ),
        dressed(
            "two unmounts at once of which the server refuses one",
            &[false],
            Ends::As("EBUSY for one, success for the other"),
            After::ComesDown,
            |script, force, _| {
                let umount = move || script.call(move |calls| calls.unmount(MNT, force));
                script.expect(Rule::on::<vfs::Unmount>().reply(|asked| asked.reply_error(EBUSY)));
                let (one, two) = (umount(), umount());
                let mut ends = vec![script.join(one), script.join(two)];
                // The root may have been busy with the other's walk.
                while !ends.contains(&Ok(())) {
                    assert!(ends.iter().all(|&end| end == Err(Errno::EBUSY)), "{ends:?}");
                    ends.push(script.unmount(force));
                }
                assert!(ends.contains(&Err(Errno::EBUSY)), "{ends:?}");
                another_mount_works(script);
                Ends::As("EBUSY for one, success for the other")
            },
        ),
        dressed(
            "an unmount of a file system with an open file",
            &[false],
            Ends::With(Errno::EBUSY),
            After::GoesOn,
            |script, force, _| {
                let file = busy(script);
                let ended = script.unmount(force);
                assert_eq!(script.count::<vfs::Unmount>(), 0);
                close(script, file);
                ended.into()
            },
        ),
        dressed(
            "an unmount with an open file, which is dead afterwards",
            &[true],
            Ends::Well,
            After::ComesDown,
            |script, force, _| {
                let file = busy(script);
                let ended = script.unmount(force);
                let read = script.run(move |calls| calls.read(file, 0, ROOM));
                assert!(read.is_err(), "{read:?}");
                close(script, file);
                another_mount_works(script);
                ended.into()
            },
        ),
        meanwhile(),
        asked_for(),
        with_crowds(),
        nonsense(),
        readers(),
    ]
    .concat()
}

/// An unmount that came too late, or did it.
fn is_over(end: Result<()>) -> bool {
    matches!(end, Ok(()) | Err(Errno::EINVAL | Errno::ENOENT))
}

/// Callers who come while the server thinks about an unmount.
fn callers(script: &Script) -> Vec<Call<Result<()>>> {
    script.file("f", FILE, Vtype::Reg, 4096);
    (0..8)
        .map(|_| script.call(|calls| calls.stat(&path("f")).map(drop)))
        .collect()
}

fn join(script: &Script, calls: Vec<Call<Result<()>>>) -> Vec<Result<()>> {
    calls.into_iter().map(|call| script.join(call)).collect()
}

fn meanwhile() -> Vec<Case> {
    [
        dressed(
            "calls that come while an unmount waits, which the server agrees to",
            &BOTH,
            Ends::With(Errno::ENOENT),
            After::ComesDown,
            |script, force, _| {
                let (umount, request) = start(script, force);
                let calls = callers(script);
                script.send(&request.reply_header());
                assert_eq!(script.join(umount), Ok(()));
                let ends = join(script, calls);
                another_mount_works(script);
                all_alike(&ends).into()
            },
        ),
        dressed(
            "calls that come while an unmount waits, which the server refuses",
            &[false],
            Ends::Well,
            After::GoesOn,
            |script, force, _| {
                let (umount, request) = start(script, force);
                let calls = callers(script);
                script.send(&request.reply_error(EBUSY));
                assert_eq!(script.join(umount), Err(Errno::EBUSY));
                all_alike(&join(script, calls)).into()
            },
        ),
        dressed(
            "calls that come while an unmount waits, and the server dies",
            &BOTH,
            Ends::With(Errno::ENOENT),
            After::ComesDown,
            |script, force, _| {
                let (umount, _) = start(script, force);
                let calls = callers(script);
                script.die();
                assert_eq!(script.join(umount), Ok(()));
                let ends = join(script, calls);
                another_mount_works(script);
                all_alike(&ends).into()
            },
        ),
    ]
    .concat()
}

/// The server's own request for an unmount.
fn ask(script: &Script, id: u64) {
    script.send(&header(OpClass::Unmount.into(), 0, id));
}

fn asked_for() -> Vec<Case> {
    vec![
        case("the server asks for the unmount while somebody waits for it")
            .needs(Ability::DyingStatvfs)
            .told(Told::Response(0))
            .caller(Ends::With(Errno::ENXIO))
            .body(|script| {
                let call = script.call(|calls| calls.statvfs(MNT).map(drop));
                script.next::<vfs::Statvfs>();
                ask(script, 1);
                let ended = script.join(call);
                another_mount_works(script);
                ended.into()
            }),
        case("the server asks for the unmount and dies on the UNMOUNT")
            .told(Told::Response(0))
            .body(|script| {
                script.expect(Rule::on::<vfs::Unmount>().answer(|_| Answer::Die));
                ask(script, 1);
                script.until("the server to die", || script.is_dead());
                another_mount_works(script);
                Ends::Well
            }),
        case("the server asks for the unmount many times")
            .told(Told::As("its requests are answered"))
            .body(|script| {
                for id in 1..=20 {
                    if script
                        .try_send(&header(OpClass::Unmount.into(), 0, id))
                        .is_err()
                    {
                        // The mount is gone already.
                        break;
                    }
                }
                // Nobody can look at the mount before that is answered.
                script.until("the UNMOUNT", || script.count::<vfs::Unmount>() == 1);
                another_mount_works(script);
                Ends::Well
            }),
    ]
}

/// Everybody is inside a file when somebody unmounts by force: the unmount
/// waits for them.
fn with_crowds() -> Vec<Case> {
    const SIZE: usize = 64;
    let start = |script: &Script| {
        let crowd = Crowd::gather(script, SIZE);
        Crowd::read(script, SIZE / 2);
        let umount = script.call(|calls| calls.unmount(MNT, true));
        (crowd, umount)
    };
    let finish = |script: &Script, crowd: Crowd, umount| {
        assert_eq!(script.join(umount), Ok(()));
        let ends = crowd.end(script);
        another_mount_works(script);
        ends
    };
    vec![
        case("an unmount by force waits for 64 calls that are answered").body(move |script| {
            let (crowd, umount) = start(script);
            script.allow(Rule::on::<vfs::Unmount>().reply(|request| request.reply_header()));
            while !umount.is_done() {
                script.settle();
                while let Some(request) = script.held() {
                    // The mount may be gone.
                    let _ = script.try_send(&crowd::good(&request));
                }
            }
            let ends = finish(script, crowd, umount);
            all_alike(&ends).into()
        }),
        case("an unmount by force waits for 64 calls until the server dies")
            .caller(Ends::With(Errno::ENXIO))
            .body(move |script| {
                let (crowd, umount) = start(script);
                script.die();
                // Whoever is late finds nothing.
                let ended = script.join(umount);
                assert!(is_over(ended), "{ended:?}");
                let ends = crowd.end(script);
                another_mount_works(script);
                all_alike(&ends).into()
            }),
        case("an unmount by force waits for 64 calls that leave")
            .needs(Ability::Signals)
            .caller(Ends::With(Errno::EINTR))
            .body(move |script| {
                let (crowd, umount) = start(script);
                crowd.signal(SIGTERM);
                let ends = crowd.end(script);
                assert_eq!(script.join(umount), Ok(()));
                another_mount_works(script);
                all_alike(&ends).into()
            }),
        case("an unmounter leaves who waits for a call")
            .needs(Ability::Signals)
            .after(After::GoesOn)
            .caller(Ends::With(Errno::EINTR))
            .body(|script| {
                script.file("f", FILE, Vtype::Reg, 4096);
                let call = script.call(|calls| calls.stat(&path("f")).map(drop));
                let request = script.next::<vn::Getattr>();
                let umount = script.call(|calls| calls.unmount(MNT, true));
                umount.signal(SIGTERM);
                let ended = script.join(umount);
                script.send(&crate::attributes(&request, Vtype::Reg, 4096));
                assert_eq!(script.join(call), Ok(()));
                ended.into()
            }),
    ]
}

type Spoil = fn(&Frame) -> Frame;

/// Answers to UNMOUNT that are none.
fn nonsense() -> Vec<Case> {
    let answers: [(&str, Errno, Spoil); 3] = [
        ("an errno that is negative", Errno::EPROTO, |asked| {
            asked.reply_error(-3)
        }),
        ("a reply that is too long", Errno::EPROTO, |asked| {
            asked.reply(asked.req().buflen + 1)
        }),
        ("a reply of another operation", Errno::EPROTO, |asked| {
            let mut reply = asked.reply_header();
            reply.req_mut().optype ^= 1;
            reply
        }),
    ];
    let mut all = Vec::new();
    for (words, error, spoil) in answers {
        all.push(
            case("nonsense in answer to an UNMOUNT is a refusal")
                .variant(words)
                .caller(Ends::With(error))
                .told(Told::As("a complaint"))
                .after(After::GoesOn)
                .body(move |script| {
                    script.expect(Rule::on::<vfs::Unmount>().reply(spoil));
                    let ended = script.unmount(false);
                    script.notice();
                    ended.into()
                }),
        );
        all.push(
            case("nonsense in answer to an UNMOUNT by force is an answer")
                .variant(words)
                .told(Told::As("nothing any more"))
                .body(move |script| {
                    script.expect(Rule::on::<vfs::Unmount>().reply(spoil));
                    let ended = script.unmount(true);
                    another_mount_works(script);
                    ended.into()
                }),
        );
    }
    all
}

/// Threads of the server that wait for a frame when the mount goes.
fn readers() -> Vec<Case> {
    let count = |shared: bool| if shared { 4 } else { 1 };
    let mut all = Vec::new();
    for shared in [false, true] {
        for force in BOTH {
            let title = if shared {
                "an unmount while four threads of the server read"
            } else {
                "an unmount while the server reads"
            };
            let how = if force { "by force" } else { "not by force" };
            let mut case = case(title).variant(how);
            if shared {
                case = case.needs(Ability::SharedReaders);
            }
            all.push(case.body(move |script| {
                let readers: Vec<_> = (0..count(shared))
                    .map(|_| {
                        let device = script.device.clone();
                        script.call_as(&script.server, move |_| loop {
                            match device.read() {
                                // Two readers met, and the other got it all.
                                Ok(request) if request.is_empty() => {}
                                Ok(request) => device.write(request.reply_header().bytes())?,
                                Err(error) => break Err::<(), _>(error),
                            }
                        })
                    })
                    .collect();
                let umount = script.call(move |calls| calls.unmount(MNT, force));
                let ended = script.join_aside(umount);
                for reader in readers {
                    let read = script.join_aside(reader);
                    let known = [Err(Errno::ENXIO), Err(Errno::ENOENT)];
                    assert!(known.contains(&read), "{read:?}");
                }
                another_mount_works(script);
                ended.into()
            }));
        }
    }
    all.push(
        Case::new(FAMILY, "the server polls while it is unmounted by force")
            .after(After::ComesDown)
            .body(|script| {
                let device = script.device.clone();
                let poll = script.call_as(&script.server, move |_| {
                    // The request for the unmount, or the end.
                    while device.poll(crowd::LONG) == Ok(false) {}
                    device.try_read()
                });
                let umount = script.call(|calls| calls.unmount(MNT, true));
                let request = script.join_aside(poll);
                let request = match request {
                    Ok(Some(request)) => request,
                    other => panic!("{other:?}"),
                };
                assert!(request.is::<vfs::Unmount>());
                script.send(&request.reply_header());
                let ended = script.join(umount);
                another_mount_works(script);
                ended.into()
            }),
    );
    all
}
