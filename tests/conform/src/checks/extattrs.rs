//! Extended attributes.

use crate::{errno::*, Bed, Check, Flags, Outcome};

const FAMILY: &str = "extended_attributes";

/// The names in a list: each with its length in front.
fn listed(b: &Bed<'_>, name: &str) -> Vec<String> {
    let list = b.extattr_list(name, 4096).done();
    assert_eq!(
        list.len(),
        b.calls().extattr_list_size(&crate::bed::path(name)).done()
    );
    let (mut names, mut rest) = (Vec::new(), list.as_slice());
    while let Some((&len, more)) = rest.split_first() {
        let (name, more) = more.split_at(len.into());
        names.push(String::from_utf8_lossy(name).into_owned());
        rest = more;
    }
    names.sort();
    names
}

pub(super) fn checks() -> Vec<Check> {
    let check = |title, body: fn(&Bed<'_>)| {
        let flags = &[Flags::DEFAULT, Flags::NOCACHE_NAME, Flags::CACHE_FS_TTL];
        Check::new(FAMILY, title, body).under(flags)
    };
    vec![
        check("an attribute is kept", |b| {
            b.make("f", b"");
            assert_eq!(b.extattr_set("f", "colour", b"blue").done(), 4);
            assert_eq!(b.extattr_get("f", "colour", 100).done(), b"blue");
            assert_eq!(b.extattr_size("f", "colour").done(), 4);
            b.extattr_set("f", "colour", b"yellow").done();
            assert_eq!(b.extattr_get("f", "colour", 100).done(), b"yellow");
            b.extattr_delete("f", "colour").done();
            b.extattr_get("f", "colour", 100).fails(ENOATTR);
        }),
        check("an attribute that is not there is not found", |b| {
            b.make("f", b"");
            b.extattr_get("f", "colour", 100).fails(ENOATTR);
            b.extattr_size("f", "colour").fails(ENOATTR);
            b.extattr_delete("f", "colour").fails(ENOATTR);
            b.extattr_get("none", "colour", 100).fails(ENOENT);
            assert_eq!(b.extattr_list("f", 100).done(), b"");
        }),
        check("attributes are listed", |b| {
            b.make("f", b"");
            let mut names = vec!["a".to_owned(), "user.colour".into(), "n".repeat(200)];
            for name in &names {
                b.extattr_set("f", name, name.as_bytes()).done();
            }
            names.sort();
            assert_eq!(listed(b, "f"), names);
            b.extattr_delete("f", "a").done();
            names.retain(|name| name != "a");
            assert_eq!(listed(b, "f"), names);
        }),
        check("a name of 254 bytes is a name", |b| {
            b.make("f", b"");
            let name = "n".repeat(254);
            b.extattr_set("f", &name, b"x").done();
            assert_eq!(b.extattr_get("f", &name, 10).done(), b"x");
            b.extattr_set("f", &"n".repeat(255), b"x")
                .fails(ENAMETOOLONG);
        }),
        check("a value may be empty, or long", |b| {
            b.make("f", b"");
            for len in [0, 1, 4096, 30_000] {
                let value = vec![len as u8; len];
                assert_eq!(b.extattr_set("f", "value", &value).done(), len);
                assert_eq!(b.extattr_size("f", "value").done(), len);
                let got = b.extattr_get("f", "value", len + 10).done();
                assert!(got == value, "{len} bytes");
            }
        }),
        check("a value comes as far as there is room", |b| {
            b.make("f", b"");
            b.extattr_set("f", "value", b"0123456789").done();
            assert_eq!(b.extattr_get("f", "value", 4).done(), b"0123");
        }),
        check("each file has its own", |b| {
            b.make("f", b"");
            b.mkdir("d").done();
            b.symlink("f", "l").done();
            b.extattr_set("f", "name", b"file").done();
            b.extattr_set("d", "name", b"directory").done();
            b.extattr_set("", "name", b"root").done();
            assert_eq!(b.extattr_get("l", "name", 100).done(), b"file");
            assert_eq!(b.extattr_get("d", "name", 100).done(), b"directory");
            assert_eq!(b.extattr_get("", "name", 100).done(), b"root");
        }),
        check("they go along with the file", |b| {
            b.make("f", b"");
            b.mkdir("d").done();
            b.extattr_set("f", "name", b"value").done();
            b.rename("f", "d/g").done();
            b.link("d/g", "h").done();
            assert_eq!(b.extattr_get("d/g", "name", 100).done(), b"value");
            assert_eq!(b.extattr_get("h", "name", 100).done(), b"value");
            b.unlink("h").done();
            b.unlink("d/g").done();
            b.make("f", b"");
            b.extattr_get("f", "name", 100).fails(ENOATTR);
        }),
    ]
}
