//! The power fails. Thousands of disks, each as a cut at some moment may have left it.

use anyhow::{Context, Result, anyhow, ensure};

use super::Run;
use crate::{
    load::Dice,
    power::{Disk, record},
    world::Tally,
};

/// Disks made of one recording.
const PER_RECORDING: u64 = 500;
const STEPS: usize = 40;

/// A cut at a random moment; with `twice`, another one while the log recovers from it.
fn cuts(mut run: Run, twice: bool) -> Result<Tally> {
    let (mut done, mut tally) = (0, Tally::default());
    while done < run.rounds {
        let mut dice = Dice(run.dice.roll(u64::MAX));
        let recording = record(&mut dice, STEPS)?;
        for _ in 0..PER_RECORDING.min(run.rounds - done) {
            let moment = 1 + dice.roll(recording.moments() as u64) as usize;
            let image = recording.cut(moment, Disk::Honest, &mut dice);
            let (recovery, mut verdict) = image.judge().with_context(|| format!("power cut at {moment}"))?;
            let mut at_risk = image.at_risk;
            if twice {
                let again = 1 + dice.roll(recovery.moments() as u64) as usize;
                let second = recovery.cut(again, Disk::Honest, &mut dice);
                at_risk = second.at_risk;
                (_, verdict) = second
                    .judge()
                    .with_context(|| format!("power cut at {moment}, and at {again} of the recovery"))?;
            }
            tally.add(Tally { rounds: 1, injected: u64::from(at_risk > 0), verdict });
            done += 1;
        }
        run.done(done, run.rounds);
    }
    ensure!(tally.injected > 0, "V0: at no moment was anything at risk");
    Ok(tally)
}

/// The log's own waiting blocks, which a runtime's thread may not.
fn on_a_thread(run: Run, twice: bool) -> Result<Tally> {
    let thread = std::thread::spawn(move || cuts(run, twice));
    thread.join().unwrap_or_else(|_| Err(anyhow!("the scenario panicked")))
}

/// Lost, reordered and torn writes.
pub async fn cut(run: Run) -> Result<Tally> {
    on_a_thread(run, false)
}

/// The power fails again during recovery.
pub async fn cut_twice(run: Run) -> Result<Tally> {
    on_a_thread(run, true)
}
