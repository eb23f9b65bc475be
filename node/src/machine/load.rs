//! What other programs do with the processor, and whether the machine runs on
//! battery: read from `/proc` and `/sys`. Two readings make a load; what it
//! means is decided in `core::lending`.

use crate::core::lending::Load;
use std::path::Path;

/// Milliseconds of processor time in a tick of `/proc` (`USER_HZ` is 100 on
/// every Linux that runs this program).
const TICK_MS: u64 = 10;
/// Times of one line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq.
const TIMES: usize = 7;
/// Which of them are idle.
const IDLE: [usize; 2] = [3, 4];

/// Processor times since the machine, and this process, began; in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuTimes {
    busy: u64,
    own: u64,
    at_ms: u64,
}

impl CpuTimes {
    /// Reads the times at the time `now_ms`; nothing where there is no `/proc`.
    #[must_use]
    pub fn read(now_ms: u64) -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        let own = std::fs::read_to_string("/proc/self/stat").ok()?;
        Self::parse(&stat, &own, now_ms)
    }

    fn parse(stat: &str, own: &str, now_ms: u64) -> Option<Self> {
        let all = stat.lines().next()?.strip_prefix("cpu ")?;
        let mut busy = 0_u64;
        for (index, time) in all.split_whitespace().take(TIMES).enumerate() {
            if !IDLE.contains(&index) {
                busy = busy.checked_add(time.parse().ok()?)?;
            }
        }
        // The name of the process, in parentheses, may hold spaces.
        let (_, fields) = own.rsplit_once(") ")?;
        let mut fields = fields.split(' ').skip(11);
        let user: u64 = fields.next()?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        Some(Self {
            busy,
            own: user.checked_add(system)?,
            at_ms: now_ms,
        })
    }

    /// What others took between two readings, on a machine of so many
    /// processors.
    #[must_use]
    pub fn load_since(&self, before: &Self, cores: usize) -> Option<Load> {
        let passed_ms = self.at_ms.checked_sub(before.at_ms).filter(|ms| *ms > 0)?;
        let busy = self.busy.saturating_sub(before.busy);
        let own = self.own.saturating_sub(before.own);
        let others_ms = busy.saturating_sub(own).saturating_mul(TICK_MS);
        Some(Load {
            others_millicores: u32::try_from(others_ms.saturating_mul(1_000) / passed_ms)
                .unwrap_or(u32::MAX),
            cores: u32::try_from(cores).unwrap_or(u32::MAX),
        })
    }
}

/// Whether the machine has a battery and no other supply is on.
#[must_use]
pub fn is_on_battery() -> bool {
    is_discharging(Path::new("/sys/class/power_supply"))
}

fn is_discharging(supplies: &Path) -> bool {
    let read = |path: &Path, name: &str| {
        let text = std::fs::read_to_string(path.join(name)).unwrap_or_default();
        text.trim().to_owned()
    };
    let supplies: Vec<_> = std::fs::read_dir(supplies)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    let is_plugged = supplies
        .iter()
        .any(|supply| read(supply, "type") != "Battery" && read(supply, "online") == "1");
    // Mice and headsets have batteries too; theirs have the scope `Device`.
    let drains = |supply: &Path| {
        read(supply, "type") == "Battery"
            && read(supply, "scope") != "Device"
            && read(supply, "status") == "Discharging"
    };
    !is_plugged && supplies.iter().any(|supply| drains(supply))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 10 50 1000 7 3 2 99 0 0\ncpu0 1 1 1 1 1 1 1 0 0 0\n";
    const OWN: &str = "77 (a name) x) S 1 77 77 0 -1 4194560 1 0 0 0 30 12 0 0 20 0 1 0 5 6 7";

    #[test]
    fn others_are_all_but_us() {
        let before = CpuTimes::parse(STAT, OWN, 1_000).unwrap();
        assert_eq!((before.busy, before.own), (165, 42));
        let stat = "cpu  300 10 50 9000 9 3 2 500 0 0\n";
        let own = OWN.replace(" 30 12 ", " 80 12 ");
        let after = CpuTimes::parse(stat, &own, 3_000).unwrap();
        // 200 ticks in two seconds are one processor; a quarter of it was ours.
        let load = after.load_since(&before, 4).unwrap();
        assert_eq!((load.others_millicores, load.cores), (750, 4));
        assert_eq!(after.load_since(&after, 4), None);
        assert_eq!(CpuTimes::parse("intr 5\n", OWN, 1), None);
        assert_eq!(CpuTimes::parse(STAT, "7 (x) S", 1), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_can_be_read() {
        assert!(CpuTimes::read(1).is_some());
    }

    #[test]
    fn a_battery_counts_when_nothing_else_supplies() {
        let directory = tempfile::tempdir().unwrap();
        let supply = |name: &str, files: &[(&str, &str)]| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            for (file, text) in files {
                std::fs::write(path.join(file), format!("{text}\n")).unwrap();
            }
        };
        assert!(!is_discharging(&directory.path().join("nowhere")));
        supply(
            "mouse",
            &[
                ("type", "Battery"),
                ("scope", "Device"),
                ("status", "Discharging"),
            ],
        );
        assert!(!is_discharging(directory.path()));
        supply("BAT0", &[("type", "Battery"), ("status", "Discharging")]);
        assert!(is_discharging(directory.path()));
        supply("AC", &[("type", "Mains"), ("online", "1")]);
        assert!(!is_discharging(directory.path()));
        supply("AC", &[("type", "Mains"), ("online", "0")]);
        assert!(is_discharging(directory.path()));
    }
}
