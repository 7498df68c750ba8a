//! Mounts that come and go.

use super::{args, mount_here, must, Ended};
use crate::{
    measure::{Counts, Measured},
    server::Server,
    sys::Sys,
    Place, Plan, Role,
};
use puffs_netbsd::{Gate, Kernel};
use puffs_rs::abi::KFLAG_NOCACHE_PAGE;
use puffs_script::{world::Calls, MNT};
use std::sync::mpsc;

/// The device is opened, mounted, unmounted and closed.
pub(super) fn mount_and_unmount(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    let counts = Counts::new(1);
    let (to_serve, devices) = mpsc::channel();
    let (is_closed, closed) = mpsc::channel();
    let of_server = counts.clone();
    let serve = move |gate: &dyn Gate| {
        let mut server = Server::default();
        for device in devices {
            server.serve(Sys(gate), device, &of_server);
            let _ = is_closed.send(());
        }
    };
    place.spawn(Role::Server, Box::new(serve));
    let of_caller = counts.clone();
    let cycle = move |gate: &dyn Gate| {
        let args = args(KFLAG_NOCACHE_PAGE);
        of_caller.repeat(0, || {
            let device = must(mount_here(gate, &args), "mount");
            let _ = to_serve.send(device);
            must(Kernel::new(gate).unmount(MNT, false), "unmount");
            let _ = closed.recv();
        });
    };
    place.spawn(Role::Server, Box::new(cycle));
    Ok(counts.measure(plan.warmup, plan.time))
}
