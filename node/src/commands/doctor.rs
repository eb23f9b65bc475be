//! `talkoot doctor`: prints what the checks found, a line each, and then what to
//! do, in order.

use super::output;
use crate::cli::DoctorArgs;
use crate::doctor::{self, CHECKS, Check, Report, Scene, Verdict, Wishes};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::settings::{INSTANCES_MAX, Ports};
use crate::units;

/// Columns of the longest name.
const NAME_WIDTH: usize = 10;

/// Checks.
///
/// # Errors
/// [`Exit::Unhealthy`] when a check fails; [`Exit::Usage`] for a name that no
/// check has.
pub fn run(args: &DoctorArgs, instance: u16, home: &Home) -> Result<(), Failure> {
    let wishes = wishes(args, instance)?;
    let scene = Scene::of(home, &wishes);
    let mut closed = Ok(());
    let report = doctor::examine(&scene, |check| {
        if !args.json && closed.is_ok() {
            closed = output::print(&line(check));
        }
    });
    closed?;
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&advice(&report))?;
    }
    let failed = names(&report, Verdict::Fail);
    if failed.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{} of {} checks failed: {}",
        failed.len(),
        report.checks.len(),
        failed.join(", ")
    );
    Err(Failure::new(Exit::Unhealthy, message))
}

fn wishes(args: &DoctorArgs, instance: u16) -> Result<Wishes, Failure> {
    if instance > INSTANCES_MAX {
        let message = format!("--instance is at most {INSTANCES_MAX}");
        return Err(Failure::new(Exit::BadConfig, message));
    }
    let unknown = |name: &&String| CHECKS.iter().all(|item| item.name != name.as_str());
    if let Some(name) = args.only.iter().find(unknown) {
        let names: Vec<&str> = CHECKS.iter().map(|item| item.name).collect();
        return Err(Failure::new(
            Exit::Usage,
            format!("--only {name}: no check has this name"),
        )
        .hint(format!("the checks are {}", names.join(", "))));
    }
    let ports = Ports::new(&args.reach, instance);
    Ok(Wishes {
        instance,
        listen: args.reach.listen,
        p2p_port: ports.p2p,
        data_port: ports.data,
        http_port: ports.http,
        http_listen: args.reach.http_listen,
        bootstrap: args.reach.bootstrap.clone(),
        ticket: args.reach.join.clone(),
        model_dirs: args.directories.model_dirs.clone(),
        min_free_bytes: units::parse_bytes(&args.min_free)
            .map_err(|error| Failure::new(Exit::Usage, format!("--min-free: {error}")))?,
        only: args.only.clone(),
        is_fast: args.fast,
        is_full: args.full,
    })
}

fn line(check: &Check) -> String {
    format!(
        "{}  {:<NAME_WIDTH$}  {}\n",
        check.verdict.name(),
        check.name,
        check.evidence
    )
}

fn names(report: &Report, verdict: Verdict) -> Vec<&'static str> {
    let checks = report.checks.iter();
    checks
        .filter(|check| check.verdict == verdict)
        .map(|check| check.name)
        .collect()
}

/// What to do: failures before warnings, each in the order of the checks.
fn advice(report: &Report) -> String {
    let mut text = String::new();
    let mut number = 0;
    for verdict in [Verdict::Fail, Verdict::Warn] {
        for check in report
            .checks
            .iter()
            .filter(|check| check.verdict == verdict)
        {
            if let Some(fix) = &check.fix {
                number += 1;
                text.push_str(&format!("{number}. {}: {fix}\n", check.name));
            }
        }
    }
    if text.is_empty() {
        return "\nnothing to do\n".to_owned();
    }
    format!("\nwhat to do:\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &'static str, verdict: Verdict) -> Check {
        Check {
            name,
            verdict,
            evidence: "e".to_owned(),
            fix: Some(format!("mend {name}")),
        }
    }

    #[test]
    fn failures_come_first_in_what_to_do() {
        let report = Report {
            schema: 1,
            verdict: Verdict::Fail,
            checks: vec![
                check("a", Verdict::Warn),
                check("b", Verdict::Fail),
                check("c", Verdict::Fail),
            ],
        };
        assert_eq!(
            advice(&report),
            "\nwhat to do:\n1. b: mend b\n2. c: mend c\n3. a: mend a\n"
        );
        assert_eq!(line(&report.checks[0]), "warn  a           e\n");
        let sound = Report {
            checks: Vec::new(),
            ..report
        };
        assert_eq!(advice(&sound), "\nnothing to do\n");
    }
}
