//! Values come back as they went in.

use super::{
    super::{
        run::{Broken, Verdict, call, clauses, failed, in_time, same},
        support::HOSTILE,
    },
    Harness, guild, load, save, session, user,
};
use crate::{
    MAX_ID_BYTES,
    auth::Role,
    session::{Expiry, Guild, Session, SessionError},
};

/// How many guilds a user has who has many.
const MANY_GUILDS: usize = 1_000;
/// The size of a large session.
const LARGE: usize = 1024 * 1024;

clauses! { Harness;
    "values-unchanged": "A session comes back as it was saved: every field, whatever it contains." => values_unchanged,
    "ids-opaque": "Ids are opaque text: any legal id works, and no two ids are taken for one." => ids_opaque,
    "long-ids": "Ids of 256 bytes are told apart to the last one." => long_ids,
    "large-session": "A large session comes back whole, or `save` refuses it with `Invalid` and changes nothing." => large_session,
}

fn samples() -> Vec<Session> {
    let mut rich = Guild::new(guild("1176605506912141444")).name("Grüße 🦀\0\"'\\\n");
    rich.roles = HOSTILE.iter().map(|&text| text.into()).collect();
    let mut doubled = Guild::new(guild("g")).name("");
    doubled.roles = vec!["".into(), "x".into(), "x".into(), "x".repeat(4_096).into()];
    let many = (0..MANY_GUILDS).map(|i| Guild::new(guild(&format!("guild {i}"))));
    vec![
        Session::default(),
        Session::new(vec![rich]),
        Session::new(vec![doubled.clone(), Guild::new(guild("f")), doubled]),
        Session::new(many.collect()),
        Session::default().role(Role::Member).not_before(0),
        Session::default()
            .role(Role::Club)
            .not_before(u64::from(u32::MAX) + 1),
        // JavaScript's last exact integer, and the last that a database's signed integer holds.
        Session::default()
            .role(Role::Admin)
            .not_before((1 << 53) + 1),
        Session::default().not_before(i64::MAX.unsigned_abs()),
    ]
}

async fn values_unchanged(harness: Harness) -> Verdict {
    let store = harness.store().await;
    for sample in samples() {
        save(&*store, "u", &sample).await?;
        same("load after save", &load(&*store, "u").await?, &Some(sample))?;
    }
    Ok(())
}

async fn ids_opaque(harness: Harness) -> Verdict {
    let store = harness.store().await;
    let mark = |i: usize| session(&format!("guild {i}"));
    for (i, id) in HOSTILE.iter().enumerate() {
        save(&*store, id, &mark(i)).await?;
    }
    for (i, id) in HOSTILE.iter().enumerate() {
        same(
            &format!("the session of {id:?}"),
            &load(&*store, id).await?,
            &Some(mark(i)),
        )?;
    }
    for (i, id) in HOSTILE.iter().enumerate() {
        call("delete", store.delete(&user(id))).await?;
        same(
            &format!("{id:?} after `delete`"),
            &load(&*store, id).await?,
            &None,
        )?;
        if let Some(next) = HOSTILE.get(i + 1) {
            let what = format!("the session of {next:?} after {id:?} was deleted");
            same(&what, &load(&*store, next).await?, &Some(mark(i + 1)))?;
        }
    }
    Ok(())
}

async fn long_ids(harness: Harness) -> Verdict {
    let store = harness.store().await;
    let long = |last: &str| "x".repeat(MAX_ID_BYTES - last.len()) + last;
    let ids = [long("a"), long("b"), long("🦀"), long("🦁")];
    for (i, id) in ids.iter().enumerate() {
        save(&*store, id, &session(&i.to_string())).await?;
    }
    for (i, id) in ids.iter().enumerate() {
        let what = format!(
            "the session of a long id that ends with {:?}",
            id.chars().last()
        );
        same(
            &what,
            &load(&*store, id).await?,
            &Some(session(&i.to_string())),
        )?;
    }
    Ok(())
}

async fn large_session(harness: Harness) -> Verdict {
    let store = harness.store().await;
    let large = Session::new(vec![Guild::new(guild("g")).name("x".repeat(LARGE))]);
    save(&*store, "u", &session("small")).await?;
    let u = user("u");
    let saving = store.save(&u, &large, Expiry::Never);
    match in_time("save", saving).await? {
        Ok(()) => match load(&*store, "u").await? {
            Some(back) if back == large => Ok(()),
            back => failed(format!(
                "a session of 1 MiB came back as {}",
                super::run::short(&back)
            )),
        },
        Err(SessionError::Invalid(_)) => same(
            "the session that was there",
            &load(&*store, "u").await?,
            &Some(session("small")),
        ),
        Err(error) => Err(Broken::Failed(format!(
            "`save` of 1 MiB: {error:?} instead of `Invalid`"
        ))),
    }
}
