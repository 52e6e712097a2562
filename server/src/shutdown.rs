//! The end as a value: one side asks for it, any number of others wait for it.

use tokio::sync::watch;

/// Asks for the end. Dropping it asks, too.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Waits for the end.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// Both sides.
pub fn pair() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Asks for the end.
    pub fn shut_down(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Returns once the end was asked for.
    pub async fn asked(&mut self) {
        // An error is the trigger gone.
        let _ = self.0.wait_for(|asked| *asked).await;
    }
}
