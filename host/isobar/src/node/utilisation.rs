//! What this process uses of its machine, as the system tells it: processor time from `getrusage`, the rest from `/proc/self`, `statvfs` and the
//! control group. On systems without these, and where a file can't be read, a figure is unknown.
//!
//! Two figures are wider than their names: calls that read or write (`syscr`, `syscw`) count those on sockets too, and `/proc/self/net/dev`
//! counts the whole network namespace of the process, loopback included, where each byte is both sent and received. In a container of its own
//! a node has that namespace for itself.

use isobar_model::ProcessUsage;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Nodes in this process. What a process uses can't be told apart by node, so with several of them only their disks are known.
static NODES_HERE: AtomicUsize = AtomicUsize::new(0);

/// Looks at what one node uses.
#[derive(Debug)]
pub(crate) struct Probe {
    data: PathBuf,
}

impl Probe {
    /// A probe of the node whose data is kept there.
    pub(crate) fn new(data: PathBuf) -> Self {
        NODES_HERE.fetch_add(1, Ordering::Relaxed);
        Self { data }
    }

    /// What it uses now.
    pub(crate) fn usage(&self) -> ProcessUsage {
        let (disk_used_bytes, disk_free_bytes) = calls::disk(&self.data).unzip();
        let disk_only = ProcessUsage { disk_used_bytes, disk_free_bytes, ..ProcessUsage::default() };
        if NODES_HERE.load(Ordering::Relaxed) > 1 {
            return disk_only;
        }
        let io = read("/proc/self/io");
        let (cpu_limit_millicores, memory_limit_bytes) = limits();
        ProcessUsage {
            cpu_ms: calls::cpu_ms(),
            memory_bytes: read("/proc/self/statm")
                .and_then(|text| resident_pages(&text))
                .map(|pages| pages * calls::page_bytes()),
            storage_ops: io.as_deref().and_then(|text| io_sum(text, ["syscr", "syscw"])),
            storage_bytes: io.as_deref().and_then(|text| io_sum(text, ["read_bytes", "write_bytes"])),
            network_bytes: read("/proc/self/net/dev").and_then(|text| network_bytes(&text)),
            cpu_limit_millicores,
            memory_limit_bytes,
            ..disk_only
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        NODES_HERE.fetch_sub(1, Ordering::Relaxed);
    }
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// What only system calls tell.
#[cfg(target_os = "linux")]
mod calls {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    /// Processor time of all threads of this process.
    pub(super) fn cpu_ms() -> Option<u64> {
        // SAFETY: zeroes are a valid `rusage`.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a live `rusage`, which the call fills.
        if unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) } != 0 {
            return None;
        }
        let ms = |time: libc::timeval| u64::try_from(time.tv_sec * 1000 + time.tv_usec / 1000).ok();
        Some(ms(usage.ru_utime)? + ms(usage.ru_stime)?)
    }

    /// Bytes of a page of memory.
    pub(super) fn page_bytes() -> u64 {
        // SAFETY: takes a number, touches no memory of ours.
        u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
    }

    /// Bytes used and free on the file system that holds `path`.
    pub(super) fn disk(path: &Path) -> Option<(u64, u64)> {
        let path = CString::new(path.as_os_str().as_bytes()).ok()?;
        // SAFETY: zeroes are a valid `statvfs`.
        let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
        // SAFETY: the path ends with a zero byte and lives on; the pointer is to a live `statvfs`, which the call fills.
        if unsafe { libc::statvfs(path.as_ptr(), &raw mut stat) } != 0 {
            return None;
        }
        let block = stat.f_frsize;
        Some((stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(block), stat.f_bavail.saturating_mul(block)))
    }
}

/// Elsewhere they have other types, and nothing is known.
#[cfg(not(target_os = "linux"))]
mod calls {
    use std::path::Path;

    pub(super) fn cpu_ms() -> Option<u64> {
        None
    }

    pub(super) fn page_bytes() -> u64 {
        4096
    }

    pub(super) fn disk(_path: &Path) -> Option<(u64, u64)> {
        None
    }
}

/// The second number of `/proc/self/statm`.
fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_whitespace().nth(1)?.parse().ok()
}

/// The sum of two lines of `/proc/self/io`.
fn io_sum(io: &str, names: [&str; 2]) -> Option<u64> {
    let of = |name: &str| {
        io.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.trim().parse::<u64>().ok())
    };
    of(names[0])?.checked_add(of(names[1])?)
}

/// Bytes received and sent over all interfaces of `/proc/self/net/dev`.
fn network_bytes(dev: &str) -> Option<u64> {
    let mut sum = None;
    for line in dev.lines() {
        let Some((_, numbers)) = line.split_once(':') else { continue };
        // Eight numbers of what was received, then as many of what was sent; bytes come first.
        let numbers: Vec<u64> = numbers.split_whitespace().map_while(|number| number.parse().ok()).collect();
        let (&received, &sent) = numbers.first().zip(numbers.get(8))?;
        sum = Some(sum.unwrap_or(0u64).checked_add(received)?.checked_add(sent)?);
    }
    sum
}

/// The control group's limits of processor, in thousandths of a core, and of memory: version 2, or the older one where that is mounted.
fn limits() -> (Option<u64>, Option<u64>) {
    let group = read("/proc/self/cgroup").as_deref().and_then(unified_group).unwrap_or_default();
    let root = PathBuf::from("/sys/fs/cgroup");
    // Within a container the path is often one of outside, and its own group is mounted at the root.
    let in_group =
        |file: &str| read(root.join(group.trim_start_matches('/')).join(file)).or_else(|| read(root.join(file)));
    let old = |file: &str| read(root.join(file));
    let cpu = in_group("cpu.max").and_then(|text| cpu_max(&text)).or_else(|| {
        let (quota, period) = (old("cpu/cpu.cfs_quota_us")?, old("cpu/cpu.cfs_period_us")?);
        cpu_max(&format!("{} {}", quota.trim(), period.trim()))
    });
    let memory =
        in_group("memory.max").or_else(|| old("memory/memory.limit_in_bytes")).and_then(|text| memory_max(&text));
    (cpu, memory)
}

/// The path of the group in version 2's hierarchy.
fn unified_group(cgroup: &str) -> Option<String> {
    cgroup.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

/// `200000 100000` is two cores; `max 100000`, and -1 in the older form, is no limit.
fn cpu_max(text: &str) -> Option<u64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    quota.checked_mul(1000)?.checked_div(period)
}

/// `max`, and what no machine has in the older form, is no limit.
fn memory_max(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|&bytes: &u64| bytes < 1 << 50)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a Linux 6.1 wrote it.
    const IO: &str =
        "rchar: 3980\nwchar: 128\nsyscr: 9\nsyscw: 4\nread_bytes: 12288\nwrite_bytes: 4096\ncancelled_write_bytes: 0\n";
    const NET_DEV: &str = "Inter-|   Receive                                                |  Transmit\n \
        face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
        lo:  704530    3212    0    0    0     0          0         0   704530    3212    0    0    0     0       0          0\n  \
        eth0: 91234567   80221    0    0    0     0          0         0  1234567   40110    0    0    0     0       0          0\n";

    #[test]
    fn captured_texts_are_read() {
        assert_eq!(resident_pages("213 187 160 8 0 98 0\n"), Some(187));
        assert_eq!(io_sum(IO, ["syscr", "syscw"]), Some(13));
        assert_eq!(io_sum(IO, ["read_bytes", "write_bytes"]), Some(16_384), "not what was cancelled");
        assert_eq!(network_bytes(NET_DEV), Some(2 * 704_530 + 91_234_567 + 1_234_567));
        assert_eq!(
            unified_group("12:cpu:/old\n0::/system.slice/isobar.service\n").as_deref(),
            Some("/system.slice/isobar.service")
        );
        assert_eq!(
            (cpu_max("150000 100000\n"), cpu_max("max 100000\n"), cpu_max("-1 100000")),
            (Some(1_500), None, None)
        );
        assert_eq!(
            (memory_max("2147483648\n"), memory_max("max\n"), memory_max("9223372036854771712")),
            (Some(2 << 30), None, None)
        );
    }

    #[test]
    fn odd_texts_are_unknown() {
        for odd in ["", "nonsense", "syscr: x\nsyscw: 3", "eth0: 1 2 3", "lo: a b", "1", "5 0"] {
            assert_eq!(io_sum(odd, ["syscr", "syscw"]), None, "{odd}");
            assert_eq!(network_bytes(odd), None, "{odd}");
            assert_eq!(unified_group(odd), None, "{odd}");
            assert_eq!(cpu_max(odd), None, "{odd}");
        }
        assert_eq!(resident_pages("213"), None);
        assert_eq!(calls::disk(Path::new("/nowhere/at/all")), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_uses_something_and_two_nodes_in_it_are_not_told_apart() {
        let probe = Probe::new(std::env::temp_dir());
        let usage = probe.usage();
        assert!(usage.memory_bytes.is_some_and(|bytes| bytes > 100_000));
        assert!(usage.cpu_ms.is_some() && usage.storage_ops.is_some_and(|ops| ops > 0));
        assert!(usage.disk_used_bytes.is_some_and(|bytes| bytes > 0));
        let other = Probe::new(std::env::temp_dir());
        assert_eq!((probe.usage().cpu_ms, probe.usage().memory_bytes), (None, None));
        assert!(probe.usage().disk_used_bytes.is_some());
        drop(other);
        assert!(probe.usage().cpu_ms.is_some());
    }
}
