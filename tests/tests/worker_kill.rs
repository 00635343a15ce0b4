//! kill -9 of workers under load, and what is left of them afterwards. Alone in its process,
//! because it counts this process's descriptors, threads and children.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that measures time, prints what it found and fails by panicking"
)]

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use fusebox_loader::WorkerOptions;
use fusebox_loader::backend::worker::{RestartPolicy, running_workers};
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::Status;
use fusebox_tests::fixtures::plugin_dir;
use fusebox_tests::workers::{load_in_process, load_in_worker, pids_of, predict, worker_options};

const KILLS: u32 = 100;
const ID: &str = "com.example.ema-rust";

fn count(path: &str) -> usize {
    fs::read_dir(path).unwrap().count()
}

/// Processes whose parent is this one, zombies included.
fn children() -> usize {
    let own = std::process::id().to_string();
    let is_child = |entry: &fs::DirEntry| {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        after_name.split(' ').nth(1) == Some(&own)
    };
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(Result::ok)
        .filter(is_child)
        .count()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "no {what} within a minute"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Prints how long it took until a model answered again, and holds it to a generous bound.
#[expect(
    clippy::print_stdout,
    reason = "the figures are the point of this test"
)]
fn report(mut failovers: Vec<Duration>, answered: u32, refused: u32) {
    failovers.sort();
    assert!(
        failovers.len() > KILLS as usize / 4,
        "only {} frames in flight",
        failovers.len()
    );
    let (median, last) = (
        failovers[failovers.len() / 2],
        failovers[failovers.len() - 1],
    );
    println!(
        "{KILLS} kills: {} in flight, {answered} rows answered, {refused} refused; fail-over \
         median {median:?}, longest {last:?}",
        failovers.len()
    );
    assert!(
        median < Duration::from_millis(50),
        "median fail-over {median:?}"
    );
}

fn stubborn() -> WorkerOptions {
    WorkerOptions {
        // As many deaths as this test wants would be given up otherwise.
        restart: RestartPolicy {
            least_ms: 1,
            most_ms: 5,
            most_deaths: 10_000,
            ..RestartPolicy::default()
        },
        snapshot_rows: 100,
        ..worker_options()
    }
}

#[test]
fn a_hundred_kills_under_load_lose_no_state_and_leave_nothing() {
    let options = stubborn();
    let config = Config::new().with("alpha", 0.01);
    let mut twin = load_in_process(plugin_dir(), ID)
        .create_model(&config, &[])
        .unwrap();
    // The threads that all workers share come with the first one.
    drop(load_in_worker(plugin_dir(), ID, options.clone()).unwrap());
    // What the monitor still holds of it goes at its next round.
    std::thread::sleep(Duration::from_millis(300));
    let before = (count("/proc/self/fd"), count("/proc/self/task"), children());

    let plugin = load_in_worker(plugin_dir(), ID, options).unwrap();
    let mut model = plugin.create_model(&config, &[]).unwrap();
    let mut value = 0.0_f32;
    let (mut failovers, mut refused, mut answered) = (Vec::new(), 0, 0);
    // One row: the answer, and whether it is the one of a model that saw every row once.
    let mut step = |model: &mut dyn fusebox_plugin_api::model::Model| {
        value += 1.0;
        let expected = predict(&mut *twin, &[value]).unwrap();
        let found = predict(model, &[value]);
        if let Ok(found) = &found {
            assert_eq!(found[0].to_bits(), expected[0].to_bits(), "row {value}");
        }
        found.map(drop)
    };
    for kill in 0..KILLS {
        // A worker that was killed while it gave its snapshot is found dead by the frame after.
        let begun = Instant::now();
        while let Err(error) = step(&mut *model) {
            assert_eq!(error.status(), Status::Crashed, "{error}");
            assert!(begun.elapsed() < Duration::from_secs(10), "{error}");
            refused += 1;
        }
        wait_until("spare", || pids_of(ID).len() == 2);
        // A process that runs is not yet a spare that is ready; it is after its model was made.
        std::thread::sleep(Duration::from_millis(30));
        let victim = pids_of(ID)[0];
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(u64::from(kill % 10) * 150));
            let killed = Command::new("kill")
                .args(["-9", &victim.to_string()])
                .status();
            assert!(killed.unwrap().success());
        });
        // Either a frame is in flight and answered with an error, or nobody notices but the pids.
        let mut fell = None;
        while pids_of(ID).contains(&victim) || fell.is_some() {
            match (step(&mut *model), fell) {
                (Ok(()), None) => answered += 1,
                (Ok(()), Some(start)) => {
                    failovers.push(Instant::elapsed(&start));
                    fell = None;
                }
                (Err(error), start) => {
                    assert_eq!(error.status(), Status::Crashed, "{error}");
                    let words = format!("{ID}: its worker process {victim} was ended by signal 9");
                    if start.is_none() {
                        assert!(error.message().starts_with(&words), "{error}");
                    }
                    refused += 1;
                    fell = start.or(Some(Instant::now()));
                }
            }
        }
        killer.join().unwrap();
    }
    while step(&mut *model).is_err() {
        refused += 1;
    }
    report(failovers, answered, refused);

    drop((model, plugin));
    assert_eq!(running_workers(), []);
    let after = || (count("/proc/self/fd"), count("/proc/self/task"), children());
    wait_until("end of all threads", || after() == before);
}
