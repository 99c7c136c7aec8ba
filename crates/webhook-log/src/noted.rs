//! A table whose changes are noted for the journal as they are made.

use std::{
    borrow::Borrow,
    cell::{OnceCell, RefCell},
};

use redb::{AccessGuard, Key, Table, TableDefinition, Value, WriteTransaction};

use crate::journal::{Change, Redo};

/// Opened when it is first used: that costs as much as several rows, and most commits need half of the tables.
pub(crate) struct Noted<'t, K: Key + 'static, V: Value + 'static> {
    txn: &'t WriteTransaction,
    definition: TableDefinition<'static, K, V>,
    table: OnceCell<Table<'t, K, V>>,
    /// The table's name in the journal.
    number: u8,
    redo: &'t RefCell<Redo>,
}

impl<'t, K: Key + 'static, V: Value + 'static> Noted<'t, K, V> {
    pub fn new(
        txn: &'t WriteTransaction,
        definition: TableDefinition<'static, K, V>,
        number: u8,
        redo: &'t RefCell<Redo>,
    ) -> Self {
        Self { txn, definition, table: OnceCell::new(), number, redo }
    }

    /// The table itself, to read; it changes only here. Makes it where there is none.
    pub fn read(&self) -> Result<&Table<'t, K, V>, redb::Error> {
        match self.table.get() {
            Some(table) => Ok(table),
            None => {
                let table = self.txn.open_table(self.definition)?;
                Ok(self.table.get_or_init(|| table))
            }
        }
    }

    fn change(&mut self) -> Result<&mut Table<'t, K, V>, redb::Error> {
        self.read()?;
        self.table.get_mut().ok_or_else(|| redb::Error::Corrupted("a table did not open".to_owned()))
    }

    /// Puts a row; answers the one that it replaced.
    pub fn insert<'k, 'v>(
        &mut self,
        key: impl Borrow<K::SelfType<'k>>,
        value: impl Borrow<V::SelfType<'v>>,
    ) -> Result<Option<AccessGuard<'_, V>>, redb::Error> {
        self.note(K::as_bytes(key.borrow()).as_ref(), Some(V::as_bytes(value.borrow()).as_ref()));
        Ok(self.change()?.insert(key, value)?)
    }

    /// Removes a row; answers it.
    pub fn remove<'k>(
        &mut self,
        key: impl Borrow<K::SelfType<'k>>,
    ) -> Result<Option<AccessGuard<'_, V>>, redb::Error> {
        self.note(K::as_bytes(key.borrow()).as_ref(), None);
        Ok(self.change()?.remove(key)?)
    }

    /// Does again what was noted.
    pub fn replay(&mut self, change: &Change<'_>) -> Result<(), redb::Error> {
        let key = K::from_bytes(change.key);
        match change.value {
            Some(value) => drop(self.change()?.insert(&key, V::from_bytes(value))?),
            None => drop(self.change()?.remove(&key)?),
        }
        Ok(())
    }

    fn note(&self, key: &[u8], value: Option<&[u8]>) {
        self.redo.borrow_mut().note(&Change { table: self.number, key, value });
    }
}
