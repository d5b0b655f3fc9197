//! Nothing shows a credential.

use std::error::Error as StdError;

use super::{
    super::run::{Verdict, clauses, ensure, failed},
    Harness, Subject,
};

clauses! { Harness;
    "debug-hides": "`Debug` of the authenticator and of an identity shows no credential." => debug_hides,
    "token-id-apart": "An identity's token id is not the credential." => token_id_apart,
    "errors-hide": "No error shows the credential: not its text, its causes' text, or `Debug`." => errors_hide,
}

impl Subject {
    /// Fails when the text holds a credential. The failure does not show it either.
    fn hides(&self, what: &str, text: &str) -> Verdict {
        let good = self.good.iter().map(|good| &good.secret);
        let mut secrets = good.chain(self.bad.iter().map(|bad| &bad.secret));
        let shown = secrets.any(|secret| !secret.is_empty() && text.contains(&**secret));
        ensure!(!shown, "{what} shows a credential");
        Ok(())
    }
}

async fn debug_hides(harness: Harness) -> Verdict {
    let subject = harness.subject().await;
    let debug = || format!("{0:?} {0:#?}", subject.authenticator);
    subject.hides("`Debug` of the authenticator", &debug())?;
    for good in &subject.good {
        let identity = subject.ask(&good.handshake).await?;
        subject.hides("`Debug` of an identity", &format!("{identity:?}"))?;
    }
    for bad in &subject.bad {
        drop(subject.ask(&bad.handshake).await?);
    }
    subject.hides("`Debug` of the authenticator after it was used", &debug())
}

async fn token_id_apart(harness: Harness) -> Verdict {
    let subject = harness.accepting().await?;
    for good in &subject.good {
        if let Ok(identity) = subject.ask(&good.handshake).await?
            && let Some(token) = &identity.token
        {
            let same = !good.secret.is_empty() && token.as_str().contains(&*good.secret);
            ensure!(
                !same,
                "the token id of {:?} holds the credential",
                good.user
            );
        }
    }
    Ok(())
}

async fn errors_hide(harness: Harness) -> Verdict {
    let subject = harness.refusing().await?;
    for (i, bad) in subject.bad.iter().enumerate() {
        let Err(error) = subject.ask(&bad.handshake).await? else {
            return failed(format!("bad handshake {i} was let in"));
        };
        subject.hides("`Debug` of an error", &format!("{error:?} {error:#?}"))?;
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
        while let Some(error) = cause {
            subject.hides("an error's text", &error.to_string())?;
            cause = error.source();
        }
    }
    Ok(())
}
