//! The first thing that has to work.

use puffs_hosted::{
    kernel::{self, Kernel},
    server::{self, memfs::MemFs, Client},
    user::{Open, User},
};
#[test]
fn mount_create_read() {
    let kernel = Kernel::boot();
    let server = User::new("memfs");
    let client = server.run(|_| Client::open());
    let mount = server
        .run(|_| client.mount("/mnt", &server::mount_args("memfs")))
        .unwrap();
    let mut fs = MemFs::new();
    let task = server::spawn(&server, client, move |frame| fs.serve(frame));
    let user = User::new("sh");
    {
        let file = user.open("/mnt/hello", Open::CREATE).unwrap();
        assert_eq!(file.write(b"hello, world"), Ok(12));
        assert_eq!(file.read_at(0, 100).unwrap(), b"hello, world");
    }
    assert_eq!(user.readdir("/mnt", 4096).unwrap().len(), 3);
    drop(mount);
    user.run(|_| kernel::unmount("/mnt", 0)).unwrap();
    task.join();
    drop(user);
    kernel.shutdown();
}
