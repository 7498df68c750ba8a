//! The server dies: everybody who waits for it is sent off, what was started
//! is completed once, the mount goes, and the next one can be made at once.

use super::{
    crowd::{self, all_alike, another_mount_works, keep, well_or, Crowd, LONG},
    kinds::{path, DIR, FILE},
};
use crate::{
    case::{After, Case, Ends, Told},
    script::{ask_for, header, Answer, Rule, Script, MNT},
    world::{Ability, How},
};
use puffs_rs::{
    abi::{vfs, vn, Cookie, KArgs, OpClass, VnOp, Vtype, SETBACK_NOREF_N1},
    kern::Errno,
};
use std::time::Duration;

const FAMILY: &str = "death";

const SIGINT: i32 = 2;
const POLLIN: i32 = 1;

fn case(title: &'static str) -> Case {
    Case::new(FAMILY, title)
        .after(After::ComesDown)
        .caller(Ends::With(Errno::ENXIO))
}

/// A crowd waits when the server dies at this stage; how many got an answer
/// before.
fn crowds(
    title: &'static str,
    rows: &'static [u8],
    sizes: &[usize],
    stage: fn(&Script, usize) -> usize,
) -> Vec<Case> {
    let of_size = |&size: &usize| {
        case(title)
            .rows(rows)
            .variant(crowd::size(size))
            .args(crowd::set_args)
            .body(move |script| {
                let crowd = Crowd::gather(script, size);
                let answered = stage(script, size);
                script.die();
                let ends = crowd.end(script);
                another_mount_works(script);
                if answered == 0 {
                    return all_alike(&ends).into();
                }
                assert_eq!(well_or(Errno::ENXIO, &ends), answered);
                Ends::As("ENXIO; success for who got an answer")
            })
    };
    sizes.iter().map(of_size).collect()
}

fn some_answered(case: Case) -> Case {
    case.caller(Ends::As("ENXIO; success for who got an answer"))
}

/// The cases of the family.
pub(super) fn cases() -> Vec<Case> {
    let few = [1, 64];
    let many = [1, 64, 512];
    [
        crowds("it dies before it read anything", &[8, 11], &many, |_, _| 0),
        crowds(
            "it dies when it has read the requests",
            &[8, 11],
            &many,
            |script, size| {
                Crowd::read(script, size);
                0
            },
        ),
        crowds(
            "it dies when it has read half of the requests",
            &[8, 11],
            &[64, 512],
            |script, size| {
                Crowd::read(script, size / 2);
                0
            },
        ),
        crowds(
            "it dies when it has answered a third of the requests",
            &[8, 11],
            &[64, 512],
            |script, size| {
                Crowd::read(script, size / 2);
                answer(script, size / 3)
            },
        )
        .into_iter()
        .map(some_answered)
        .collect(),
        crowds(
            "it dies when it has read a part of a request",
            &[8, 11],
            &few,
            |script, _| {
                read_part(script);
                0
            },
        ),
        crowds(
            "it dies when it has read a part of a request, and others",
            &[8, 11],
            &[64],
            |script, size| {
                Crowd::read(script, size / 2);
                read_part(script);
                0
            },
        ),
        crowds(
            "it dies with complaints and answers on the queue",
            &[8],
            &few,
            |script, size| {
                for id in 0..100 {
                    script.send(&header(OpClass::Vn.into(), 0, 9000 + id));
                    script.send(&header(OpClass::Flush.into(), 0, 9000 + id));
                }
                script.wait_queued(size + 200);
                0
            },
        ),
        on_requests(),
        unmounts(),
        last_words(),
        callbacks(),
        left(),
        vec![case("it dies again and again, and is mounted anew at once")
            .rows(&[8, 11])
            .body(again_and_again)],
    ]
    .concat()
}

/// Answers so many of the requests that were read.
fn answer(script: &Script, count: usize) -> usize {
    for _ in 0..count {
        match script.held() {
            Some(request) => script.send(&crowd::good(&request)),
            None => panic!("too few were read"),
        }
    }
    count
}

fn read_part(script: &Script) {
    assert_eq!(script.device.read_part(10).map(|part| part.len()), Ok(10));
}

fn files(script: &Script) {
    script.file("d", DIR, Vtype::Dir, 512);
    script.file("f", FILE, Vtype::Reg, 4096);
}

/// What the kernel asks first of a mount, and in the midst of a path.
fn on_requests() -> Vec<Case> {
    let stat = |script: &Script| -> Ends {
        files(script);
        let ended = script.run(|calls| calls.stat(&path("f")).map(drop));
        another_mount_works(script);
        ended.into()
    };
    vec![
        case("it dies on the first request")
            .rows(&[11])
            .body(|script| {
                script.expect(Rule::on::<vn::Getattr>().answer(|_| Answer::Die));
                let ended = script.run(|calls| calls.stat(MNT).map(drop));
                another_mount_works(script);
                ended.into()
            }),
        case("it dies on the LOOKUP of a path")
            .rows(&[11])
            .body(move |script| {
                script.expect(Rule::on::<vn::Lookup>().answer(|_| Answer::Die));
                stat(script)
            }),
        case("it dies on the second LOOKUP of a path")
            .rows(&[11])
            .body(|script| {
                files(script);
                script.expect(Rule::on::<vn::Lookup>().of(DIR).answer(|_| Answer::Die));
                let ended = script.run(|calls| calls.stat(&path("d/e")).map(drop));
                another_mount_works(script);
                ended.into()
            }),
        case("it dies on the ACCESS of a path")
            .rows(&[11])
            .args(|args| ask_for(args, &[VnOp::Access]))
            .body(|script| {
                files(script);
                let die = |_: &crate::Frame| Answer::Die;
                script.allow(Rule::on::<vn::Access>().answer(die));
                let ended = script.run(|calls| calls.access(&path("f"), 4));
                another_mount_works(script);
                ended.into()
            }),
        case("it dies on the GETATTR of a path")
            .rows(&[11])
            .body(move |script| {
                script.allow(Rule::on::<vn::Getattr>().of(FILE).answer(|_| Answer::Die));
                stat(script)
            }),
        case("it dies on a LOOKUP, with others on the same path")
            .rows(&[11])
            .caller(Ends::As("ENXIO; ENOENT for who comes when it is gone"))
            .body(|script| {
                let calls: Vec<_> = (0..16)
                    .map(|_| script.call(|calls| calls.stat(&path("f")).map(drop)))
                    .collect();
                script.wait_queued(1);
                script.expect(Rule::on::<vn::Lookup>().answer(|_| Answer::Die));
                let ends: Vec<_> = calls.into_iter().map(|call| script.join(call)).collect();
                let known = [Err(Errno::ENXIO), Err(Errno::ENOENT)];
                assert!(ends.iter().all(|end| known.contains(end)), "{ends:?}");
                assert!(ends.contains(&Err(Errno::ENXIO)), "{ends:?}");
                another_mount_works(script);
                Ends::As("ENXIO; ENOENT for who comes when it is gone")
            }),
    ]
}

/// It dies while somebody unmounts.
fn unmounts() -> Vec<Case> {
    let of_force = |force: bool| if force { "by force" } else { "not by force" };
    let mut all = Vec::new();
    for force in [false, true] {
        all.push(
            case("it dies on the UNMOUNT")
                .rows(&[12])
                .variant(of_force(force))
                .caller(Ends::Well)
                .body(move |script| {
                    script.expect(Rule::on::<vfs::Unmount>().answer(|_| Answer::Die));
                    let ended = script.unmount(force);
                    another_mount_works(script);
                    ended.into()
                }),
        );
        all.push(
            case("it dies with an UNMOUNT on the queue")
                .rows(&[12])
                .variant(of_force(force))
                .caller(Ends::Well)
                .body(move |script| {
                    let umount = script.call(move |calls| calls.unmount(MNT, force));
                    if !force {
                        let sync = script.next::<vfs::Sync>();
                        script.send(&sync.reply_header());
                    }
                    script.wait_queued(1);
                    script.die();
                    let ended = script.join_aside(umount);
                    another_mount_works(script);
                    ended.into()
                }),
        );
    }
    all.push(
        case("it dies on the SYNC of an unmount")
            .rows(&[12])
            .body(|script| {
                script.expect(Rule::on::<vfs::Sync>().answer(|_| Answer::Die));
                let ended = script.unmount(false);
                another_mount_works(script);
                ended.into()
            }),
    );
    all.push(
        case("it dies on the SYNC of sync(2)")
            .rows(&[11])
            .caller(Ends::Well)
            .body(|script| {
                script.expect(Rule::on::<vfs::Sync>().answer(|_| Answer::Die));
                let ended = script.run(|calls| calls.sync());
                another_mount_works(script);
                ended.into()
            }),
    );
    all
}

/// It dies while nodes end.
fn last_words() -> Vec<Case> {
    let args = |args: &mut KArgs| ask_for(args, &[VnOp::Inactive, VnOp::Reclaim]);
    vec![
        case("it dies on the INACTIVE of a file")
            .rows(&[8, 11])
            .caller(Ends::Well)
            .args(args)
            .body(|script| {
                files(script);
                let file = script.run(|calls| calls.open(&path("f"), How::default()));
                let close = script.call(move |calls| file.and_then(|file| calls.close(file)));
                let die = |_: &crate::Frame| Answer::Die;
                script.allow(Rule::on::<vn::Inactive>().of(FILE).answer(die));
                let ended = script.join(close);
                another_mount_works(script);
                ended.into()
            }),
        case("it dies with RECLAIMs on the queue")
            .rows(&[8])
            .caller(Ends::Well)
            .args(|args| ask_for(args, &[VnOp::Reclaim]))
            .body(|script| {
                const COUNT: usize = 20;
                keep::<vn::Getattr>(script);
                let stat = |nth| {
                    let (name, cookie) = (format!("f{nth}"), Cookie(0x9000 + nth * 0x10));
                    script.file(&name, cookie, Vtype::Reg, 0);
                    script.call(move |calls| calls.stat(&path(&name)).map(drop))
                };
                let calls: Vec<_> = (0..COUNT).map(stat).collect();
                script.wait_held(COUNT);
                while let Some(request) = script.held() {
                    let mut reply = crate::attributes(&request, Vtype::Reg, 0);
                    reply.req_mut().setbacks = SETBACK_NOREF_N1;
                    script.send(&reply);
                }
                let ends = calls.into_iter().map(|call| script.join_aside(call));
                let ends: Vec<_> = ends.collect();
                script.wait_queued(COUNT);
                script.die();
                another_mount_works(script);
                all_alike(&ends).into()
            }),
    ]
}

/// It dies while what nobody waits for by name is under way.
fn callbacks() -> Vec<Case> {
    let open = |script: &Script, write: bool| {
        script.file("f", FILE, Vtype::Reg, 1 << 20);
        let how = How { write, ..How::READ };
        match script.run(move |calls| calls.open(&path("f"), how)) {
            Ok(file) => file,
            Err(error) => panic!("open: {error:?}"),
        }
    };
    let close = |script: &Script, file| {
        let closed = script.run(move |calls| calls.close(file));
        assert_eq!(closed, Ok(()));
        another_mount_works(script);
    };
    let mut all = Vec::new();
    for read in [false, true] {
        let stage = if read { "read" } else { "not read" };
        all.push(
            case("it dies with a poll under way")
                .variant(stage)
                .rows(&[15, 17])
                .caller(Ends::As("an event"))
                .args(|args| ask_for(args, &[VnOp::Poll]))
                .body(move |script| {
                    let file = open(script, false);
                    let call = script.call(move |calls| calls.poll(file, POLLIN, LONG));
                    if read {
                        script.next::<vn::Poll>();
                    } else {
                        script.wait_queued(1);
                    }
                    // The caller is to be fast asleep.
                    std::thread::sleep(Duration::from_millis(30));
                    script.die();
                    let there = script.join(call);
                    assert!(there.is_ok_and(|there| there != 0), "{there:?}");
                    close(script, file);
                    Ends::As("an event")
                }),
        );
        all.push(
            case("it dies with a read of the page cache under way")
                .variant(stage)
                .rows(&[11, 13])
                .args(|args| ask_for(args, &[VnOp::Read]))
                .body(move |script| {
                    let file = open(script, false);
                    let call = script.call(move |calls| calls.read(file, 0, 1 << 20).map(drop));
                    if read {
                        script.next::<vn::Read>();
                    } else {
                        script.wait_queued(1);
                    }
                    script.die();
                    let ended = script.join(call);
                    close(script, file);
                    ended.into()
                }),
        );
        all.push(
            case("it dies with writes of the page cache under way")
                .variant(stage)
                .rows(&[11, 13])
                .args(|args| ask_for(args, &[VnOp::Read, VnOp::Write, VnOp::Setattr]))
                .body(move |script| {
                    let file = open(script, true);
                    script.allow(
                        Rule::on::<vn::Setattr>()
                            .reply(|request| request.reply_with::<vn::Setattr>(|_| {})),
                    );
                    let call = script.call(move |calls| {
                        calls.write(file, 0, &[7; 1 << 18])?;
                        calls.fsync(file)
                    });
                    script.allow(Rule::on::<vn::Read>().reply(|request| {
                        let asked = request.get::<vn::Read>().resid;
                        request.reply_data::<vn::Read>(&vec![1; asked], |reply| reply.resid = 0)
                    }));
                    if read {
                        script.next::<vn::Write>();
                    } else {
                        script.wait_queued(1);
                    }
                    script.die();
                    let ended = script.join(call);
                    close(script, file);
                    ended.into()
                }),
        );
    }
    all
}

/// It dies when callers have left.
fn left() -> Vec<Case> {
    let sizes = [1, 64];
    let of_size = |&size: &usize| {
        case("it dies when its callers have left")
            .variant(crowd::size(size))
            .needs(Ability::Signals)
            .rows(&[8])
            .caller(Ends::With(Errno::EINTR))
            .told(Told::Nothing)
            .args(crowd::set_args)
            .body(move |script| {
                let crowd = Crowd::gather(script, size);
                Crowd::read(script, size.div_ceil(2));
                crowd.signal(SIGINT);
                let ends = crowd.end_aside(script);
                script.die();
                another_mount_works(script);
                all_alike(&ends).into()
            })
    };
    sizes.iter().map(of_size).collect()
}

fn again_and_again(script: &Script) -> Ends {
    script.die();
    for round in 0..20 {
        let again = Script::new(script.world.clone());
        assert_eq!(again.mount(&crate::mount_args()), Ok(()), "round {round}");
        let call = again.call(|calls| calls.stat(MNT).map(drop));
        if round % 2 == 0 {
            again.wait_queued(1);
        } else {
            again.next::<vn::Getattr>();
        }
        again.die();
        assert_eq!(again.join(call), Err(Errno::ENXIO), "round {round}");
    }
    another_mount_works(script);
    Ends::With(Errno::ENXIO)
}
