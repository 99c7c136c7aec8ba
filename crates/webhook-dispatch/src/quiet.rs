//! A time in which nothing is under way, for work that lets no outcome be recorded meanwhile: a stop in the middle of it
//! then costs no answer.

use std::sync::Arc;

use tokio::sync::watch;

/// By which others ask for quiet.
#[derive(Debug, Clone)]
pub struct Quiet {
    wanted: Arc<watch::Sender<usize>>,
    reached: watch::Receiver<bool>,
}

/// The loop's side of it.
#[derive(Debug)]
pub(crate) struct Ask {
    wanted: watch::Receiver<usize>,
    reached: watch::Sender<bool>,
}

/// Quiet, until it is dropped.
#[derive(Debug)]
pub struct Silence(Quiet);

pub(crate) fn channel() -> (Quiet, Ask) {
    let (wanted, asked) = watch::channel(0);
    let (reaches, reached) = watch::channel(false);
    (Quiet { wanted: Arc::new(wanted), reached }, Ask { wanted: asked, reached: reaches })
}

impl Quiet {
    /// Lets nothing new begin, and waits until what is under way has ended and is on disk.
    pub async fn begin(&self) -> Silence {
        self.wanted.send_modify(|wanted| *wanted += 1);
        let silence = Silence(self.clone());
        // A loop that has ended is quiet, too.
        let _ = self.reached.clone().wait_for(|reached| *reached).await;
        silence
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        self.0.wanted.send_modify(|wanted| *wanted -= 1);
    }
}

impl Ask {
    /// Whether nothing may begin.
    pub fn is_wanted(&mut self) -> bool {
        *self.wanted.borrow_and_update() > 0
    }

    /// Says whether nothing is under way.
    pub fn tell(&self, is_idle: bool) {
        let is_reached = is_idle && *self.wanted.borrow() > 0;
        self.reached.send_if_modified(|reached| std::mem::replace(reached, is_reached) != is_reached);
    }

    /// Ends when it was asked for, or is over.
    pub async fn changed(&mut self) {
        if self.wanted.changed().await.is_err() {
            std::future::pending().await
        }
    }
}
