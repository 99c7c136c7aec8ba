//! The judge on real logs: green on honest disks, red when the disk lies and when one row is missing.

use redb::TableDefinition;
use webhook_faults::{
    load::Dice,
    power::{Disk, Image, Recording, record},
};

fn last(recording: &Recording) -> Image {
    recording.cut(recording.moments(), Disk::Honest, &mut Dice(1))
}

/// How many of 200 power cuts break the promise.
fn broken(disk: Disk) -> usize {
    let mut dice = Dice(5);
    let recording = record(&mut dice, 25).unwrap();
    let moments = recording.moments() as u64;
    (0..200).filter(|_| recording.cut(dice.roll(moments) as usize, disk, &mut dice).judge().is_err()).count()
}

#[test]
fn an_honest_disk_loses_nothing_and_a_lying_one_is_seen() {
    assert_eq!(broken(Disk::Honest), 0);
    let red = broken(Disk::Lying(5));
    assert!(red > 0, "every fifth sync did nothing, and nobody noticed");
}

#[test]
fn one_missing_row_is_seen_whatever_its_table() {
    #[track_caller]
    fn red<K: redb::Key + 'static, V: redb::Value + 'static>(table: TableDefinition<'_, K, V>) {
        let recording = record(&mut Dice(9), 25).unwrap();
        last(&recording).judge().unwrap();
        let spoilt = last(&recording).damaged(|store| {
            let txn = store.begin_write()?;
            {
                let mut table = txn.open_table(table)?;
                assert!(table.pop_first()?.is_some(), "there was a row to remove");
            }
            Ok(txn.commit()?)
        });
        let error = spoilt.unwrap().judge().expect_err("a row is missing");
        eprintln!("{error:#}");
    }
    red(TableDefinition::<u128, u64>::new("ids"));
    red(TableDefinition::<u64, &[u8]>::new("events"));
    red(TableDefinition::<(u64, u32), &[u8]>::new("attempts"));
    red(TableDefinition::<(u128, u64), (u64, u32, u8)>::new("due"));
}
