//! A table whose changes are noted for the journal as they are made.

use std::{borrow::Borrow, cell::RefCell, ops::Deref};

use redb::{AccessGuard, Key, StorageError, Table, TableDefinition, Value, WriteTransaction};

use crate::journal::{Change, Redo};

/// Reads like the table itself; it changes only here.
pub(crate) struct Noted<'t, K: Key + 'static, V: Value + 'static> {
    table: Table<'t, K, V>,
    /// The table's name in the journal.
    number: u8,
    redo: &'t RefCell<Redo>,
}

impl<'t, K: Key + 'static, V: Value + 'static> Noted<'t, K, V> {
    pub fn open(
        txn: &'t WriteTransaction,
        table: TableDefinition<'_, K, V>,
        number: u8,
        redo: &'t RefCell<Redo>,
    ) -> Result<Self, redb::Error> {
        Ok(Self { table: txn.open_table(table)?, number, redo })
    }

    /// Puts a row; answers the one that it replaced.
    pub fn insert<'k, 'v>(
        &mut self,
        key: impl Borrow<K::SelfType<'k>>,
        value: impl Borrow<V::SelfType<'v>>,
    ) -> Result<Option<AccessGuard<'_, V>>, StorageError> {
        self.note(K::as_bytes(key.borrow()).as_ref(), Some(V::as_bytes(value.borrow()).as_ref()));
        self.table.insert(key, value)
    }

    /// Removes a row; answers it.
    pub fn remove<'k>(
        &mut self,
        key: impl Borrow<K::SelfType<'k>>,
    ) -> Result<Option<AccessGuard<'_, V>>, StorageError> {
        self.note(K::as_bytes(key.borrow()).as_ref(), None);
        self.table.remove(key)
    }

    /// Does again what was noted.
    pub fn replay(&mut self, change: &Change<'_>) -> Result<(), redb::Error> {
        let key = K::from_bytes(change.key);
        match change.value {
            Some(value) => drop(self.table.insert(&key, V::from_bytes(value))?),
            None => drop(self.table.remove(&key)?),
        }
        Ok(())
    }

    fn note(&self, key: &[u8], value: Option<&[u8]>) {
        self.redo.borrow_mut().note(&Change { table: self.number, key, value });
    }
}

impl<'t, K: Key + 'static, V: Value + 'static> Deref for Noted<'t, K, V> {
    type Target = Table<'t, K, V>;

    fn deref(&self) -> &Self::Target {
        &self.table
    }
}
