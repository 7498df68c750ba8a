//! Where every byte of the protocol stands, as the C compilers of the three
//! ports have it.
//!
//! The table holds for all architectures, so that whichever one a test runs
//! on, it can compare all three columns with the C headers. The compiler of
//! puffs-rs compares the column of its target with the Rust structs: should
//! one of them differ, it does not build.

use super::*;
use core::mem::{align_of, offset_of, size_of};
use core::ops::Range;

/// The columns of the table, by the names that Rust has for them.
pub const ARCHES: [&str; 3] = ["x86_64", "x86", "aarch64"];

/// The column of the target.
pub const TARGET: usize = if cfg!(target_arch = "x86_64") {
    0
} else if cfg!(target_arch = "x86") {
    1
} else {
    2
};

/// The layout of one struct, on each of [`ARCHES`].
#[derive(Debug)]
pub struct Struct {
    /// The tag of the C struct.
    pub name: &'static str,
    /// Its size.
    pub size: [usize; 3],
    /// Its alignment.
    pub align: [usize; 3],
    /// Its fields, all of them.
    pub fields: &'static [Field],
}

/// The place of one field, on each of [`ARCHES`].
#[derive(Debug)]
pub struct Field {
    /// The name of the C field.
    pub name: &'static str,
    /// The bytes that it occupies in the struct.
    pub span: [Range<usize>; 3],
}

/// The size of the field that a function borrows.
const fn field_size<S, F>(_: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

/// Makes [`LAYOUT`], and asserts it of the Rust structs.
macro_rules! layout {
    ($(
        $c:literal = $($rust:ty),+: $size:tt, align $align:tt { $($fields:tt)+ }
    )+) => {
        /// Every struct of the protocol.
        pub const LAYOUT: &[Struct] = &[ $( Struct {
            name: $c,
            size: $size,
            align: $align,
            fields: layout!(@fields $($fields)+),
        } ),+ ];

        $( layout!(@each $c, [$($rust),+], $size, $align, { $($fields)+ }); )+
    };

    (@fields $( $c:literal = $rust:ident: $span:expr, )+) => {
        &[ $( Field { name: $c, span: $span } ),+ ]
    };

    (@each $c:literal, [$($rust:ty),+], $size:tt, $align:tt, $fields:tt) => {
        $( layout!(@assert $c, $rust, $size, $align, $fields); )+
    };

    (@assert $c:literal, $rust:ty, $size:tt, $align:tt, {
        $( $cfield:literal = $field:ident: $span:expr, )+
    }) => {
        const _: () = {
            assert!(size_of::<$rust>() == $size[TARGET], concat!("size of ", $c));
            assert!(align_of::<$rust>() == $align[TARGET], concat!("alignment of ", $c));
            $(
                let start = offset_of!($rust, $field);
                let end = start + field_size(|it: &$rust| &it.$field);
                let span = &$span[TARGET];
                assert!(start == span.start, concat!("offset of ", $c, ".", $cfield));
                assert!(end == span.end, concat!("size of ", $c, ".", $cfield));
            )+
        };
    };
}

layout! {
    "putter_hdr" = PutterHdr: [8, 8, 8], align [8, 4, 8] {
        "pth_framelen" = framelen: [0..8, 0..8, 0..8],
    }
    "puffs_req" = Req: [56, 44, 64], align [8, 4, 16] {
        "preq_pth" = pth: [0..8, 0..8, 0..8],
        "preq_id" = id: [8..16, 8..16, 8..16],
        "preq_cookie" = cookie: [16..24, 16..20, 16..24],
        "preq_opclass" = opclass: [24..26, 20..22, 24..26],
        "preq_optype" = optype: [26..28, 22..24, 26..28],
        "preq_rv" = rv: [28..32, 24..28, 28..32],
        "preq_setbacks" = setbacks: [32..36, 28..32, 32..36],
        "preq_pid" = pid: [36..40, 32..36, 36..40],
        "preq_lid" = lid: [40..44, 36..40, 40..44],
        "preq_buflen" = buflen: [48..56, 40..44, 48..56],
        "preq_buf" = buf: [56..56, 44..44, 64..64],
    }
    "puffs_kargs" = KArgs: [3984, 3928, 3984], align [8, 4, 8] {
        "pa_vers" = vers: [0..4, 0..4, 0..4],
        "pa_fd" = fd: [4..8, 4..8, 4..8],
        "pa_flags" = flags: [8..12, 8..12, 8..12],
        "pa_maxmsglen" = maxmsglen: [16..24, 12..16, 16..24],
        "pa_nhashbuckets" = nhashbuckets: [24..28, 16..20, 24..28],
        "pa_fhsize" = fhsize: [32..40, 20..24, 32..40],
        "pa_fhflags" = fhflags: [40..44, 24..28, 40..44],
        "pa_vnopmask" = vnopmask: [44..122, 28..106, 44..122],
        "pa_typename" = typename: [122..154, 106..138, 122..154],
        "pa_mntfromname" = mntfromname: [154..1178, 138..1162, 154..1178],
        "pa_root_cookie" = root_cookie: [1184..1192, 1164..1168, 1184..1192],
        "pa_root_vtype" = root_vtype: [1192..1196, 1168..1172, 1192..1196],
        "pa_root_vsize" = root_vsize: [1200..1208, 1172..1180, 1200..1208],
        "devunion" = root_rdev: [1208..1216, 1180..1188, 1208..1216],
        "pa_svfsb" = svfsb: [1216..3472, 1188..3416, 1216..3472],
        "pa_time32" = time32: [3472..3476, 3416..3420, 3472..3476],
        "pa_spare" = spare: [3476..3984, 3420..3928, 3476..3984],
    }
    "puffs_statvfs" = StatvfsBuf: [2256, 2228, 2256], align [8, 4, 8] {
        "f_flag" = flag: [0..8, 0..4, 0..8],
        "f_bsize" = bsize: [8..16, 4..8, 8..16],
        "f_frsize" = frsize: [16..24, 8..12, 16..24],
        "f_iosize" = iosize: [24..32, 12..16, 24..32],
        "f_blocks" = blocks: [32..40, 16..24, 32..40],
        "f_bfree" = bfree: [40..48, 24..32, 40..48],
        "f_bavail" = bavail: [48..56, 32..40, 48..56],
        "f_bresvd" = bresvd: [56..64, 40..48, 56..64],
        "f_files" = files: [64..72, 48..56, 64..72],
        "f_ffree" = ffree: [72..80, 56..64, 72..80],
        "f_favail" = favail: [80..88, 64..72, 80..88],
        "f_fresvd" = fresvd: [88..96, 72..80, 88..96],
        "f_syncreads" = syncreads: [96..104, 80..88, 96..104],
        "f_syncwrites" = syncwrites: [104..112, 88..96, 104..112],
        "f_asyncreads" = asyncreads: [112..120, 96..104, 112..120],
        "f_asyncwrites" = asyncwrites: [120..128, 104..112, 120..128],
        "f_fsidx" = fsidx: [128..136, 112..120, 128..136],
        "f_fsid" = fsid: [136..144, 120..124, 136..144],
        "f_namemax" = namemax: [144..152, 124..128, 144..152],
        "f_owner" = owner: [152..156, 128..132, 152..156],
        "f_spare" = spare: [156..172, 132..148, 156..172],
        "f_fstypename" = fstypename: [172..204, 148..180, 172..204],
        "f_mntonname" = mntonname: [204..1228, 180..1204, 204..1228],
        "f_mntfromname" = mntfromname: [1228..2252, 1204..2228, 1228..2252],
    }
    "uucred" = Uucred: [80, 80, 80], align [4, 4, 4] {
        "cr_unused" = unused: [0..2, 0..2, 0..2],
        "cr_uid" = uid: [4..8, 4..8, 4..8],
        "cr_gid" = gid: [8..12, 8..12, 8..12],
        "cr_ngroups" = ngroups: [12..14, 12..14, 12..14],
        "cr_groups" = groups: [16..80, 16..80, 16..80],
    }
    "puffs_kcred" = Kcred: [84, 84, 84], align [4, 4, 4] {
        "pkcr_uuc" = uuc: [0..80, 0..80, 0..80],
        "pkcr_type" = kind: [80..81, 80..81, 80..81],
        "pkcr_internal" = internal: [81..82, 81..82, 81..82],
    }
    "puffs_kcn" = Kcn: [1048, 1040, 1048], align [8, 4, 8] {
        "pkcn_nameiop" = nameiop: [0..4, 0..4, 0..4],
        "pkcn_flags" = flags: [4..8, 4..8, 4..8],
        "pkcn_name" = name: [8..1032, 8..1032, 8..1032],
        "pkcn_namelen" = namelen: [1032..1040, 1032..1036, 1032..1040],
        "pkcn_consume" = consume: [1040..1048, 1036..1040, 1040..1048],
    }
    "timespec" = Timespec: [16, 12, 16], align [8, 4, 8] {
        "tv_sec" = sec: [0..8, 0..8, 0..8],
        "tv_nsec" = nsec: [8..16, 8..12, 8..16],
    }
    "vattr" = Vattr: [176, 136, 176], align [8, 4, 8] {
        "va_type" = vtype: [0..4, 0..4, 0..4],
        "va_mode" = mode: [4..8, 4..8, 4..8],
        "va_nlink" = nlink: [8..12, 8..12, 8..12],
        "va_uid" = uid: [12..16, 12..16, 12..16],
        "va_gid" = gid: [16..20, 16..20, 16..20],
        "va_fsid" = fsid: [24..32, 20..28, 24..32],
        "va_fileid" = fileid: [32..40, 28..36, 32..40],
        "va_size" = size: [40..48, 36..44, 40..48],
        "va_blocksize" = blocksize: [48..56, 44..48, 48..56],
        "va_atime" = atime: [56..72, 48..60, 56..72],
        "va_mtime" = mtime: [72..88, 60..72, 72..88],
        "va_ctime" = ctime: [88..104, 72..84, 88..104],
        "va_birthtime" = birthtime: [104..120, 84..96, 104..120],
        "va_gen" = gen: [120..128, 96..100, 120..128],
        "va_flags" = flags: [128..136, 100..104, 128..136],
        "va_rdev" = rdev: [136..144, 104..112, 136..144],
        "va_bytes" = bytes: [144..152, 112..120, 144..152],
        "va_filerev" = filerev: [152..160, 120..128, 152..160],
        "va_vaflags" = vaflags: [160..164, 128..132, 160..164],
        "va_spare" = spare: [168..176, 132..136, 168..176],
    }
    "puffs_vfsmsg_unmount" = vfs::Unmount: [64, 48, 80], align [8, 4, 16] {
        "pvfsr_pr" = req: [0..56, 0..44, 0..64],
        "pvfsr_flags" = flags: [56..60, 44..48, 64..68],
    }
    "puffs_vfsmsg_statvfs" = vfs::Statvfs: [2312, 2272, 2320], align [8, 4, 16] {
        "pvfsr_pr" = req: [0..56, 0..44, 0..64],
        "pvfsr_sb" = sb: [56..2312, 44..2272, 64..2320],
    }
    "puffs_vfsmsg_sync" = vfs::Sync: [144, 132, 160], align [8, 4, 16] {
        "pvfsr_pr" = req: [0..56, 0..44, 0..64],
        "pvfsr_cred" = cred: [56..140, 44..128, 64..148],
        "pvfsr_waitfor" = waitfor: [140..144, 128..132, 148..152],
    }
    "puffs_vfsmsg_fhtonode" = vfs::FhToNode: [96, 72, 112], align [8, 4, 16] {
        "pvfsr_pr" = req: [0..56, 0..44, 0..64],
        "pvfsr_fhcookie" = fhcookie: [56..64, 44..48, 64..72],
        "pvfsr_vtype" = vtype: [64..68, 48..52, 72..76],
        "pvfsr_size" = size: [72..80, 52..60, 80..88],
        "pvfsr_rdev" = rdev: [80..88, 60..68, 88..96],
        "pvfsr_dsize" = dsize: [88..96, 68..72, 96..104],
        "pvfsr_data" = data: [96..96, 72..72, 112..112],
    }
    "puffs_vfsmsg_nodetofh" = vfs::NodeToFh: [72, 52, 80], align [8, 4, 16] {
        "pvfsr_pr" = req: [0..56, 0..44, 0..64],
        "pvfsr_fhcookie" = fhcookie: [56..64, 44..48, 64..72],
        "pvfsr_dsize" = dsize: [64..72, 48..52, 72..80],
        "pvfsr_data" = data: [72..72, 52..52, 80..80],
    }
    "puffs_vfsmsg_suspend" = vfs::Suspend: [64, 48, 80], align [8, 4, 16] {
        "pvfsr_pr" = req: [0..56, 0..44, 0..64],
        "pvfsr_status" = status: [56..60, 44..48, 64..68],
    }
    "puffs_vfsmsg_extattrctl" = vfs::ExtattrCtl: [328, 312, 336], align [8, 4, 16] {
        "pvfsr_pr" = req: [0..56, 0..44, 0..64],
        "pvfsr_cmd" = cmd: [56..60, 44..48, 64..68],
        "pvfsr_attrnamespace" = attrnamespace: [60..64, 48..52, 68..72],
        "pvfsr_flags" = flags: [64..68, 52..56, 72..76],
        "pvfsr_attrname" = attrname: [68..323, 56..311, 76..331],
    }
    "puffs_vnmsg_lookup" = vn::Lookup: [1432, 1352, 1440], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_cn" = cn: [56..1104, 44..1084, 64..1112],
        "pvnr_cn_cred" = cn_cred: [1104..1188, 1084..1168, 1112..1196],
        "pvnr_newnode" = newnode: [1192..1200, 1168..1172, 1200..1208],
        "pvnr_vtype" = vtype: [1200..1204, 1172..1176, 1208..1212],
        "pvnr_size" = size: [1208..1216, 1176..1184, 1216..1224],
        "pvnr_rdev" = rdev: [1216..1224, 1184..1192, 1224..1232],
        "pvnr_va" = va: [1224..1400, 1192..1328, 1232..1408],
        "pvnr_va_ttl" = va_ttl: [1400..1416, 1328..1340, 1408..1424],
        "pvnr_cn_ttl" = cn_ttl: [1416..1432, 1340..1352, 1424..1440],
    }
    "puffs_vnmsg_create" = vn::Create: [1408, 1332, 1424], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_cn" = cn: [56..1104, 44..1084, 64..1112],
        "pvnr_cn_cred" = cn_cred: [1104..1188, 1084..1168, 1112..1196],
        "pvnr_va" = va: [1192..1368, 1168..1304, 1200..1376],
        "pvnr_newnode" = newnode: [1368..1376, 1304..1308, 1376..1384],
        "pvnr_va_ttl" = va_ttl: [1376..1392, 1308..1320, 1384..1400],
        "pvnr_cn_ttl" = cn_ttl: [1392..1408, 1320..1332, 1400..1416],
    }
    "puffs_vnmsg_mknod" = vn::Mknod: [1408, 1332, 1424], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_cn" = cn: [56..1104, 44..1084, 64..1112],
        "pvnr_cn_cred" = cn_cred: [1104..1188, 1084..1168, 1112..1196],
        "pvnr_va" = va: [1192..1368, 1168..1304, 1200..1376],
        "pvnr_newnode" = newnode: [1368..1376, 1304..1308, 1376..1384],
        "pvnr_va_ttl" = va_ttl: [1376..1392, 1308..1320, 1384..1400],
        "pvnr_cn_ttl" = cn_ttl: [1392..1408, 1320..1332, 1400..1416],
    }
    "puffs_vnmsg_open" = vn::Open: [152, 136, 160], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_cred" = cred: [56..140, 44..128, 64..148],
        "pvnr_mode" = mode: [140..144, 128..132, 148..152],
        "pvnr_oflags" = oflags: [144..148, 132..136, 152..156],
    }
    "puffs_vnmsg_close" = vn::Close: [144, 132, 160], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_cred" = cred: [56..140, 44..128, 64..148],
        "pvnr_fflag" = fflag: [140..144, 128..132, 148..152],
    }
    "puffs_vnmsg_access" = vn::Access: [144, 132, 160], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_cred" = cred: [56..140, 44..128, 64..148],
        "pvnr_mode" = mode: [140..144, 128..132, 148..152],
    }
    "puffs_vnmsg_setgetattr" = vn::Getattr, vn::Setattr: [336, 276, 352], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_cred" = cred: [56..140, 44..128, 64..148],
        "pvnr_va" = va: [144..320, 128..264, 152..328],
        "pvnr_va_ttl" = va_ttl: [320..336, 264..276, 328..344],
    }
    "puffs_vnmsg_rw" = vn::Read, vn::Write: [168, 144, 176], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_cred" = cred: [56..140, 44..128, 64..148],
        "pvnr_offset" = offset: [144..152, 128..136, 152..160],
        "pvnr_resid" = resid: [152..160, 136..140, 160..168],
        "pvnr_ioflag" = ioflag: [160..164, 140..144, 168..172],
        "pvnr_data" = data: [164..164, 144..144, 172..172],
    }
    "puffs_vnmsg_fcnioctl" = vn::Ioctl, vn::Fcntl: [184, 152, 192], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_cred" = cred: [56..140, 44..128, 64..148],
        "pvnr_command" = command: [144..152, 128..132, 152..160],
        "pvnr_pid" = pid: [152..156, 132..136, 160..164],
        "pvnr_fflag" = fflag: [156..160, 136..140, 164..168],
        "pvnr_data" = data: [160..168, 140..144, 168..176],
        "pvnr_datalen" = datalen: [168..176, 144..148, 176..184],
        "pvnr_copyback" = copyback: [176..180, 148..152, 184..188],
    }
    "puffs_vnmsg_poll" = vn::Poll: [64, 48, 80], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_events" = events: [56..60, 44..48, 64..68],
    }
    "puffs_vnmsg_fsync" = vn::Fsync: [168, 148, 176], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_cred" = cred: [56..140, 44..128, 64..148],
        "pvnr_offlo" = offlo: [144..152, 128..136, 152..160],
        "pvnr_offhi" = offhi: [152..160, 136..144, 160..168],
        "pvnr_flags" = flags: [160..164, 144..148, 168..172],
    }
    "puffs_vnmsg_seek" = vn::Seek: [160, 144, 176], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_cred" = cred: [56..140, 44..128, 64..148],
        "pvnr_oldoff" = oldoff: [144..152, 128..136, 152..160],
        "pvnr_newoff" = newoff: [152..160, 136..144, 160..168],
    }
    "puffs_vnmsg_remove" = vn::Remove: [1200, 1172, 1216], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_cn" = cn: [56..1104, 44..1084, 64..1112],
        "pvnr_cn_cred" = cn_cred: [1104..1188, 1084..1168, 1112..1196],
        "pvnr_cookie_targ" = cookie_targ: [1192..1200, 1168..1172, 1200..1208],
    }
    "puffs_vnmsg_mkdir" = vn::Mkdir: [1408, 1332, 1424], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_cn" = cn: [56..1104, 44..1084, 64..1112],
        "pvnr_cn_cred" = cn_cred: [1104..1188, 1084..1168, 1112..1196],
        "pvnr_va" = va: [1192..1368, 1168..1304, 1200..1376],
        "pvnr_newnode" = newnode: [1368..1376, 1304..1308, 1376..1384],
        "pvnr_va_ttl" = va_ttl: [1376..1392, 1308..1320, 1384..1400],
        "pvnr_cn_ttl" = cn_ttl: [1392..1408, 1320..1332, 1400..1416],
    }
    "puffs_vnmsg_rmdir" = vn::Rmdir: [1200, 1172, 1216], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_cn" = cn: [56..1104, 44..1084, 64..1112],
        "pvnr_cn_cred" = cn_cred: [1104..1188, 1084..1168, 1112..1196],
        "pvnr_cookie_targ" = cookie_targ: [1192..1200, 1168..1172, 1200..1208],
    }
    "puffs_vnmsg_link" = vn::Link: [1200, 1172, 1216], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_cn" = cn: [56..1104, 44..1084, 64..1112],
        "pvnr_cn_cred" = cn_cred: [1104..1188, 1084..1168, 1112..1196],
        "pvnr_cookie_targ" = cookie_targ: [1192..1200, 1168..1172, 1200..1208],
    }
    "puffs_vnmsg_rename" = vn::Rename: [2352, 2304, 2368], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_cn_src" = cn_src: [56..1104, 44..1084, 64..1112],
        "pvnr_cn_src_cred" = cn_src_cred: [1104..1188, 1084..1168, 1112..1196],
        "pvnr_cn_targ" = cn_targ: [1192..2240, 1168..2208, 1200..2248],
        "pvnr_cn_targ_cred" = cn_targ_cred: [2240..2324, 2208..2292, 2248..2332],
        "pvnr_cookie_src" = cookie_src: [2328..2336, 2292..2296, 2336..2344],
        "pvnr_cookie_targ" = cookie_targ: [2336..2344, 2296..2300, 2344..2352],
        "pvnr_cookie_targdir" = cookie_targdir: [2344..2352, 2300..2304, 2352..2360],
    }
    "puffs_vnmsg_symlink" = vn::Symlink: [2432, 2356, 2448], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_cn" = cn: [56..1104, 44..1084, 64..1112],
        "pvnr_cn_cred" = cn_cred: [1104..1188, 1084..1168, 1112..1196],
        "pvnr_va" = va: [1192..1368, 1168..1304, 1200..1376],
        "pvnr_newnode" = newnode: [1368..1376, 1304..1308, 1376..1384],
        "pvnr_link" = link: [1376..2400, 1308..2332, 1384..2408],
        "pvnr_va_ttl" = va_ttl: [2400..2416, 2332..2344, 2408..2424],
        "pvnr_cn_ttl" = cn_ttl: [2416..2432, 2344..2356, 2424..2440],
    }
    "puffs_vnmsg_readdir" = vn::Readdir: [184, 152, 192], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_cred" = cred: [56..140, 44..128, 64..148],
        "pvnr_offset" = offset: [144..152, 128..136, 152..160],
        "pvnr_resid" = resid: [152..160, 136..140, 160..168],
        "pvnr_ncookies" = ncookies: [160..168, 140..144, 168..176],
        "pvnr_eofflag" = eofflag: [168..172, 144..148, 176..180],
        "pvnr_dentoff" = dentoff: [176..184, 148..152, 184..192],
        "pvnr_data" = data: [184..184, 152..152, 192..192],
    }
    "puffs_vnmsg_readlink" = vn::Readlink: [1176, 1156, 1184], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_cred" = cred: [56..140, 44..128, 64..148],
        "pvnr_linklen" = linklen: [144..152, 128..132, 152..160],
        "pvnr_link" = link: [152..1176, 132..1156, 160..1184],
    }
    "puffs_vnmsg_reclaim" = vn::Reclaim: [64, 48, 80], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_nlookup" = nlookup: [56..60, 44..48, 64..68],
    }
    "puffs_vnmsg_inactive" = vn::Inactive: [56, 44, 64], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
    }
    "puffs_vnmsg_print" = vn::Print: [56, 44, 64], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
    }
    "puffs_vnmsg_pathconf" = vn::Pathconf: [72, 52, 80], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_name" = name: [56..60, 44..48, 64..68],
        "pvnr_retval" = retval: [64..72, 48..52, 72..80],
    }
    "puffs_vnmsg_advlock" = vn::Advlock: [96, 80, 112], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_fl" = fl: [56..80, 44..68, 64..88],
        "pvnr_id" = id: [80..88, 68..72, 88..96],
        "pvnr_op" = op: [88..92, 72..76, 96..100],
        "pvnr_flags" = flags: [92..96, 76..80, 100..104],
    }
    "flock" = vn::Flock: [24, 24, 24], align [8, 4, 8] {
        "l_start" = start: [0..8, 0..8, 0..8],
        "l_len" = len: [8..16, 8..16, 8..16],
        "l_pid" = pid: [16..20, 16..20, 16..20],
        "l_type" = kind: [20..22, 20..22, 20..22],
        "l_whence" = whence: [22..24, 22..24, 22..24],
    }
    "puffs_vnmsg_mmap" = vn::Mmap: [144, 132, 160], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_prot" = prot: [56..60, 44..48, 64..68],
        "pvnr_cred" = cred: [60..144, 48..132, 68..152],
    }
    "puffs_vnmsg_abortop" = vn::Abortop: [1192, 1168, 1200], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_cn" = cn: [56..1104, 44..1084, 64..1112],
        "pvnr_cn_cred" = cn_cred: [1104..1188, 1084..1168, 1112..1196],
    }
    "puffs_vnmsg_getextattr" = vn::Getextattr: [416, 396, 432], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_attrnamespace" = attrnamespace: [56..60, 44..48, 64..68],
        "pvnr_attrname" = attrname: [60..315, 48..303, 68..323],
        "pvnr_cred" = cred: [316..400, 304..388, 324..408],
        "pvnr_datasize" = datasize: [400..408, 388..392, 408..416],
        "pvnr_resid" = resid: [408..416, 392..396, 416..424],
        "pvnr_data" = data: [416..416, 396..396, 432..432],
    }
    "puffs_vnmsg_setextattr" = vn::Setextattr: [408, 392, 416], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_attrnamespace" = attrnamespace: [56..60, 44..48, 64..68],
        "pvnr_attrname" = attrname: [60..315, 48..303, 68..323],
        "pvnr_cred" = cred: [316..400, 304..388, 324..408],
        "pvnr_resid" = resid: [400..408, 388..392, 408..416],
        "pvnr_data" = data: [408..408, 392..392, 416..416],
    }
    "puffs_vnmsg_listextattr" = vn::Listextattr: [168, 144, 176], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_attrnamespace" = attrnamespace: [56..60, 44..48, 64..68],
        "pvnr_cred" = cred: [60..144, 48..132, 68..152],
        "pvnr_datasize" = datasize: [144..152, 132..136, 152..160],
        "pvnr_resid" = resid: [152..160, 136..140, 160..168],
        "pvnr_flag" = flag: [160..164, 140..144, 168..172],
        "pvnr_data" = data: [168..168, 144..144, 176..176],
    }
    "puffs_vnmsg_deleteextattr" = vn::Deleteextattr: [400, 388, 416], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_attrnamespace" = attrnamespace: [56..60, 44..48, 64..68],
        "pvnr_attrname" = attrname: [60..315, 48..303, 68..323],
        "pvnr_cred" = cred: [316..400, 304..388, 324..408],
    }
    "puffs_vnmsg_fallocate" = vn::Fallocate: [72, 60, 80], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_off" = off: [56..64, 44..52, 64..72],
        "pvnr_len" = len: [64..72, 52..60, 72..80],
    }
    "puffs_vnmsg_fdiscard" = vn::Fdiscard: [72, 60, 80], align [8, 4, 16] {
        "pvn_pr" = req: [0..56, 0..44, 0..64],
        "pvnr_off" = off: [56..64, 44..52, 64..72],
        "pvnr_len" = len: [64..72, 52..60, 72..80],
    }
    "puffs_flush" = notify::Flush: [88, 68, 96], align [8, 4, 16] {
        "pf_req" = req: [0..56, 0..44, 0..64],
        "pf_cookie" = cookie: [56..64, 44..48, 64..72],
        "pf_op" = op: [64..68, 48..52, 72..76],
        "pf_start" = start: [72..80, 52..60, 80..88],
        "pf_end" = end: [80..88, 60..68, 88..96],
    }
    "puffs_error" = notify::Error: [320, 304, 336], align [8, 4, 16] {
        "perr_pr" = req: [0..56, 0..44, 0..64],
        "perr_error" = error: [56..60, 44..48, 64..68],
        "perr_str" = str: [60..316, 48..304, 68..324],
    }
    "puffs_cacheinfo" = notify::CacheInfo: [72, 52, 80], align [8, 4, 16] {
        "pcache_pr" = req: [0..56, 0..44, 0..64],
        "pcache_type" = kind: [56..60, 44..48, 64..68],
        "pcache_nruns" = nruns: [64..72, 48..52, 72..80],
        "pcache_runs" = data: [72..72, 52..52, 80..80],
    }
    "puffs_cacherun" = notify::CacheRun: [16, 16, 16], align [8, 4, 8] {
        "pcache_runstart" = runstart: [0..8, 0..8, 0..8],
        "pcache_runend" = runend: [8..16, 8..16, 8..16],
    }
}

/// Says what each C constant is in Rust.
macro_rules! constants {
    ($( $c:literal = $rust:expr, )+) => {
        /// Every constant of the protocol: the C expression, and its value.
        pub const CONSTANTS: &[(&str, i64)] = &[ $( ($c, $rust as i64), )+ ];
    };
}

constants! {
    "PUFFSOP_VFS" = OpClass::Vfs,
    "PUFFSOP_VN" = OpClass::Vn,
    "PUFFSOP_CACHE" = OpClass::Cache,
    "PUFFSOP_ERROR" = OpClass::Error,
    "PUFFSOP_FLUSH" = OpClass::Flush,
    "PUFFSOP_SUSPEND" = OpClass::Suspend,
    "PUFFSOP_UNMOUNT" = OpClass::Unmount,
    "PUFFSOP_OPCMASK" = OPCLASS_MASK,
    "PUFFSOPFLAG_FAF" = OPCLASS_FAF,
    "PUFFSOPFLAG_ISRESPONSE" = OPCLASS_RESPONSE,
    "PUFFS_VFS_MOUNT" = VfsOp::Mount,
    "PUFFS_VFS_START" = VfsOp::Start,
    "PUFFS_VFS_UNMOUNT" = VfsOp::Unmount,
    "PUFFS_VFS_ROOT" = VfsOp::Root,
    "PUFFS_VFS_QUOTACTL" = VfsOp::Quotactl,
    "PUFFS_VFS_STATVFS" = VfsOp::Statvfs,
    "PUFFS_VFS_SYNC" = VfsOp::Sync,
    "PUFFS_VFS_VGET" = VfsOp::Vget,
    "PUFFS_VFS_FHTOVP" = VfsOp::Fhtovp,
    "PUFFS_VFS_VPTOFH" = VfsOp::Vptofh,
    "PUFFS_VFS_INIT" = VfsOp::Init,
    "PUFFS_VFS_DONE" = VfsOp::Done,
    "PUFFS_VFS_SNAPSHOT" = VfsOp::Snapshot,
    "PUFFS_VFS_EXTATTRCTL" = VfsOp::Extattrctl,
    "PUFFS_VFS_SUSPEND" = VfsOp::Suspend,
    "PUFFS_VFS_MAX" = VfsOp::ALL.len() - 1,
    "PUFFS_VN_LOOKUP" = VnOp::Lookup,
    "PUFFS_VN_CREATE" = VnOp::Create,
    "PUFFS_VN_MKNOD" = VnOp::Mknod,
    "PUFFS_VN_OPEN" = VnOp::Open,
    "PUFFS_VN_CLOSE" = VnOp::Close,
    "PUFFS_VN_ACCESS" = VnOp::Access,
    "PUFFS_VN_GETATTR" = VnOp::Getattr,
    "PUFFS_VN_SETATTR" = VnOp::Setattr,
    "PUFFS_VN_READ" = VnOp::Read,
    "PUFFS_VN_WRITE" = VnOp::Write,
    "PUFFS_VN_IOCTL" = VnOp::Ioctl,
    "PUFFS_VN_FCNTL" = VnOp::Fcntl,
    "PUFFS_VN_POLL" = VnOp::Poll,
    "PUFFS_VN_KQFILTER" = VnOp::Kqfilter,
    "PUFFS_VN_REVOKE" = VnOp::Revoke,
    "PUFFS_VN_MMAP" = VnOp::Mmap,
    "PUFFS_VN_FSYNC" = VnOp::Fsync,
    "PUFFS_VN_SEEK" = VnOp::Seek,
    "PUFFS_VN_REMOVE" = VnOp::Remove,
    "PUFFS_VN_LINK" = VnOp::Link,
    "PUFFS_VN_RENAME" = VnOp::Rename,
    "PUFFS_VN_MKDIR" = VnOp::Mkdir,
    "PUFFS_VN_RMDIR" = VnOp::Rmdir,
    "PUFFS_VN_SYMLINK" = VnOp::Symlink,
    "PUFFS_VN_READDIR" = VnOp::Readdir,
    "PUFFS_VN_READLINK" = VnOp::Readlink,
    "PUFFS_VN_ABORTOP" = VnOp::Abortop,
    "PUFFS_VN_INACTIVE" = VnOp::Inactive,
    "PUFFS_VN_RECLAIM" = VnOp::Reclaim,
    "PUFFS_VN_LOCK" = VnOp::Lock,
    "PUFFS_VN_UNLOCK" = VnOp::Unlock,
    "PUFFS_VN_BMAP" = VnOp::Bmap,
    "PUFFS_VN_STRATEGY" = VnOp::Strategy,
    "PUFFS_VN_PRINT" = VnOp::Print,
    "PUFFS_VN_ISLOCKED" = VnOp::Islocked,
    "PUFFS_VN_PATHCONF" = VnOp::Pathconf,
    "PUFFS_VN_ADVLOCK" = VnOp::Advlock,
    "PUFFS_VN_LEASE" = VnOp::Lease,
    "PUFFS_VN_WHITEOUT" = VnOp::Whiteout,
    "PUFFS_VN_GETPAGES" = VnOp::Getpages,
    "PUFFS_VN_PUTPAGES" = VnOp::Putpages,
    "PUFFS_VN_GETEXTATTR" = VnOp::Getextattr,
    "PUFFS_VN_LISTEXTATTR" = VnOp::Listextattr,
    "PUFFS_VN_OPENEXTATTR" = VnOp::Openextattr,
    "PUFFS_VN_DELETEEXTATTR" = VnOp::Deleteextattr,
    "PUFFS_VN_SETEXTATTR" = VnOp::Setextattr,
    "PUFFS_VN_CLOSEEXTATTR" = VnOp::Closeextattr,
    "PUFFS_VN_FALLOCATE" = VnOp::Fallocate,
    "PUFFS_VN_FDISCARD" = VnOp::Fdiscard,
    "PUFFS_VN_MAX" = VnOp::ALL.len() - 1,
    "PUFFS_VN_SPARE" = consts::VN_SPARE,
    "PUFFS_SETBACK_INACT_N1" = SETBACK_INACT_N1,
    "PUFFS_SETBACK_INACT_N2" = SETBACK_INACT_N2,
    "PUFFS_SETBACK_NOREF_N1" = SETBACK_NOREF_N1,
    "PUFFS_SETBACK_NOREF_N2" = SETBACK_NOREF_N2,
    "PUFFS_SETBACK_MASK" = SETBACK_MASK,
    "PUFFS_KFLAG_NOCACHE_NAME" = KFLAG_NOCACHE_NAME,
    "PUFFS_KFLAG_NOCACHE_PAGE" = KFLAG_NOCACHE_PAGE,
    "PUFFS_KFLAG_NOCACHE" = KFLAG_NOCACHE,
    "PUFFS_KFLAG_ALLOPS" = KFLAG_ALLOPS,
    "PUFFS_KFLAG_WTCACHE" = KFLAG_WTCACHE,
    "PUFFS_KFLAG_IAONDEMAND" = KFLAG_IAONDEMAND,
    "PUFFS_KFLAG_LOOKUP_FULLPNBUF" = KFLAG_LOOKUP_FULLPNBUF,
    "PUFFS_KFLAG_NOCACHE_ATTR" = KFLAG_NOCACHE_ATTR,
    "PUFFS_KFLAG_CACHE_FS_TTL" = KFLAG_CACHE_FS_TTL,
    "PUFFS_KFLAG_CACHE_DOTDOT" = KFLAG_CACHE_DOTDOT,
    "PUFFS_KFLAG_NOFLUSH_META" = KFLAG_NOFLUSH_META,
    "PUFFS_KFLAG_MASK" = KFLAG_MASK,
    "PUFFS_FHFLAG_DYNAMIC" = FHFLAG_DYNAMIC,
    "PUFFS_FHFLAG_NFSV2" = FHFLAG_NFSV2,
    "PUFFS_FHFLAG_NFSV3" = FHFLAG_NFSV3,
    "PUFFS_FHFLAG_PROTOMASK" = FHFLAG_PROTOMASK,
    "PUFFS_FHFLAG_PASSTHROUGH" = FHFLAG_PASSTHROUGH,
    "PUFFS_FHFLAG_MASK" = FHFLAG_MASK,
    "PUFFCRED_TYPE_UUC" = CredKind::Process,
    "PUFFCRED_TYPE_INTERNAL" = CredKind::Kernel,
    "PUFFCRED_CRED_NOCRED" = KernelCred::NoCred,
    "PUFFCRED_CRED_FSCRED" = KernelCred::FsCred,
    "NAMEI_LOOKUP" = NameiOp::Lookup,
    "NAMEI_CREATE" = NameiOp::Create,
    "NAMEI_DELETE" = NameiOp::Delete,
    "NAMEI_RENAME" = NameiOp::Rename,
    "NAMEI_ISDOTDOT" = NAMEI_ISDOTDOT,
    "NAMEI_MAKEENTRY" = NAMEI_MAKEENTRY,
    "NAMEI_ISLASTCN" = NAMEI_ISLASTCN,
    "NAMEI_REQUIREDIR" = NAMEI_REQUIREDIR,
    "NAMEI_CREATEDIR" = NAMEI_CREATEDIR,
    "VNON" = Vtype::Non,
    "VREG" = Vtype::Reg,
    "VDIR" = Vtype::Dir,
    "VBLK" = Vtype::Blk,
    "VCHR" = Vtype::Chr,
    "VLNK" = Vtype::Lnk,
    "VSOCK" = Vtype::Sock,
    "VFIFO" = Vtype::Fifo,
    "VBAD" = Vtype::Bad,
    "VA_UTIMES_NULL" = VA_UTIMES_NULL,
    "VA_EXCLUSIVE" = VA_EXCLUSIVE,
    "PUFFS_SUSPEND_START" = vfs::SuspendStatus::Start,
    "PUFFS_SUSPEND_SUSPENDED" = vfs::SuspendStatus::Suspended,
    "PUFFS_SUSPEND_RESUME" = vfs::SuspendStatus::Resume,
    "PUFFS_SUSPEND_ERROR" = vfs::SuspendStatus::Error,
    "PUFFS_EXTATTRCTL_HASNODE" = vfs::EXTATTRCTL_HASNODE,
    "PUFFS_EXTATTRCTL_HASATTRNAME" = vfs::EXTATTRCTL_HASATTRNAME,
    "PUFFS_OPEN_IO_DIRECT" = vn::OPEN_IO_DIRECT,
    "PUFFS_INVAL_NAMECACHE_NODE" = notify::FlushOp::InvalNamecacheNode,
    "PUFFS_INVAL_NAMECACHE_DIR" = notify::FlushOp::InvalNamecacheDir,
    "PUFFS_INVAL_NAMECACHE_ALL" = notify::FlushOp::InvalNamecacheAll,
    "PUFFS_INVAL_PAGECACHE_NODE_RANGE" = notify::FlushOp::InvalPagecacheNodeRange,
    "PUFFS_FLUSH_PAGECACHE_NODE_RANGE" = notify::FlushOp::FlushPagecacheNodeRange,
    "PUFFS_ERR_ERROR" = notify::ErrorOp::Error,
    "PUFFS_ERR_MAKENODE" = notify::ErrorOp::MakeNode,
    "PUFFS_ERR_LOOKUP" = notify::ErrorOp::Lookup,
    "PUFFS_ERR_READDIR" = notify::ErrorOp::Readdir,
    "PUFFS_ERR_READLINK" = notify::ErrorOp::Readlink,
    "PUFFS_ERR_READ" = notify::ErrorOp::Read,
    "PUFFS_ERR_WRITE" = notify::ErrorOp::Write,
    "PUFFS_ERR_VPTOFH" = notify::ErrorOp::Vptofh,
    "PUFFS_ERR_GETEXTATTR" = notify::ErrorOp::Getextattr,
    "PUFFS_ERR_LISTEXTATTR" = notify::ErrorOp::Listextattr,
    "PUFFS_ERR_MAX" = notify::ErrorOp::ALL.len() - 1,
    "PCACHE_TYPE_READ" = notify::CacheUse::Read,
    "PCACHE_TYPE_WRITE" = notify::CacheUse::Write,
    "PUFFSVERSION" = consts::VERSION,
    "PUFFSNAMESIZE" = consts::NAMESIZE,
    "MAXPHYS" = consts::MAXPHYS,
    "PUFFS_MSG_MAXSIZE" = consts::MSG_MAXSIZE,
    "PUFFS_MSGSTRUCT_MAX" = consts::MSGSTRUCT_MAX,
    "MAXPATHLEN" = consts::MAXPATHLEN,
    "PUFFS_EXTNAMELEN" = consts::EXTNAMELEN,
    "_VFS_NAMELEN" = consts::VFS_NAMELEN,
    "_VFS_MNAMELEN" = consts::VFS_MNAMELEN,
    "PUFFS_TYPELEN" = consts::TYPELEN,
    "PUFFS_NAMELEN" = consts::NAMELEN,
    "sizeof(PUFFS_TYPEPREFIX) - 1" = consts::TYPEPREFIX.len(),
    "PUFFS_FHSIZE_MAX" = consts::FHSIZE_MAX,
    "NGROUPS_MAX" = consts::NGROUPS_MAX,
    "VSIZENOTSET" = consts::VSIZENOTSET,
    "__builtin_offsetof(struct dirent, d_fileno)" = offset_of!(vn::DirentHead, fileno),
    "__builtin_offsetof(struct dirent, d_reclen)" = offset_of!(vn::DirentHead, reclen),
    "__builtin_offsetof(struct dirent, d_namlen)" = offset_of!(vn::DirentHead, namlen),
    "__builtin_offsetof(struct dirent, d_type)" = offset_of!(vn::DirentHead, kind),
    "__builtin_offsetof(struct dirent, d_name)" = size_of::<vn::DirentHead>(),
}
