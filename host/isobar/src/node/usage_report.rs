//! What a node uses, and how full the archive is, in the words of the API.

use super::backend::figures::{counter, gauge};
use super::observe::Used;
use isobar_analyzer::ArchiveStatus;
use isobar_api::UsageInfo;
use isobar_api::backend::{Figure, FigureKind};
use isobar_model::{NodeMetric, ProcessUsage};

/// As an operator sees it.
pub(super) fn usage_info(used: &Used) -> UsageInfo {
    let figure = |metric| used.figures.get(&metric).copied();
    UsageInfo {
        cpu_millicores: figure(NodeMetric::CpuMillicores),
        cpu_limit_millicores: used.usage.cpu_limit_millicores,
        memory_bytes: used.usage.memory_bytes,
        memory_limit_bytes: used.usage.memory_limit_bytes,
        storage_iops: figure(NodeMetric::StorageIops),
        storage_bytes_per_s: figure(NodeMetric::StorageBytes),
        disk_used_bytes: used.usage.disk_used_bytes,
        disk_free_bytes: used.usage.disk_free_bytes,
        network_bytes_per_s: figure(NodeMetric::NetworkBytes),
    }
}

/// As Prometheus has it; what is not known is left out.
pub(super) fn usage_figures(usage: &ProcessUsage) -> Vec<Figure> {
    let bytes = |name, help, value: Option<u64>| value.map(|value| gauge(name, help, value as f64));
    let sum = |name, help, value: Option<u64>, scale: f64| value.map(|value| counter(name, help, value as f64 * scale));
    let all = [
        sum("process_cpu_seconds", "Processor time used by this process, seconds", usage.cpu_ms, 0.001),
        bytes("process_resident_memory_bytes", "Resident memory of this process, bytes", usage.memory_bytes),
        sum("process_io_calls", "Calls of this process that read or write files or sockets", usage.storage_ops, 1.0),
        sum("process_storage_bytes", "Bytes to and from the storage, past the page cache", usage.storage_bytes, 1.0),
        sum("network_bytes", "Bytes through this process's network namespace, both ways", usage.network_bytes, 1.0),
        bytes("disk_used_bytes", "Bytes used on the file system of the data", usage.disk_used_bytes),
        bytes("disk_free_bytes", "Bytes free on the file system of the data", usage.disk_free_bytes),
    ];
    all.into_iter().flatten().collect()
}

/// How full the archive is and what it did not keep, by family.
pub(super) fn archive_figures(status: &[ArchiveStatus]) -> Vec<Figure> {
    let figure = |name, help, kind, of: fn(&ArchiveStatus) -> f64| Figure {
        name,
        help,
        kind,
        samples: status.iter().map(|s| (vec![("family", s.family.to_string())], of(s))).collect(),
    };
    vec![
        figure("archive_bytes", "Bytes of memory that recorded history takes", FigureKind::Gauge, |s| s.bytes as f64),
        figure("archive_budget_bytes", "Bytes of memory that it may take", FigureKind::Gauge, |s| {
            s.budget_bytes as f64
        }),
        figure("archive_series", "Series of recorded history", FigureKind::Gauge, |s| s.series as f64),
        figure("archive_late_samples", "Samples that came too late to be recorded", FigureKind::Counter, |s| {
            s.dropped.late_samples as f64
        }),
        figure("archive_backward_ticks", "Ticks of a clock that had gone back", FigureKind::Counter, |s| {
            s.dropped.backward_ticks as f64
        }),
    ]
}
