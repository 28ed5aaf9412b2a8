//! The order of a run: every measure with every server in turn, round after round, so that what slows the machine down
//! meets them all.

use std::io;
use std::time::Duration;

use tokio::time::timeout;

use crate::backend::Backend;
use crate::cores::{self, Cores};
use crate::measure::{Row, Sample, Trial};
use crate::server::{Place, Product, Server};

/// A measurement that takes this much longer than planned has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much is to be measured.
pub(crate) struct Plan {
    /// How often each measure is taken.
    pub(crate) rounds: u32,
    /// How long each timed measurement lasts.
    pub(crate) seconds: f64,
    /// How many idle sessions are held.
    pub(crate) sessions: u32,
}

/// What one measurement came to: `None` where the server has nothing to measure.
pub(crate) type Outcome = Result<Option<Sample>, String>;

/// What came of it all, as `[row][product][round]`.
pub(crate) type Results = Vec<Vec<Vec<Outcome>>>;

/// Takes every measurement, each with a server newly started.
pub(crate) async fn run(plan: &Plan, products: &[Box<dyn Product>], rows: &[Row]) -> io::Result<Results> {
    cores::raise_descriptor_limit()?;
    let cores = Cores::divide()?;
    let mut results: Results = rows.iter().map(|_| products.iter().map(|_| Vec::new()).collect()).collect();
    for round in 0..plan.rounds {
        for (row, found) in rows.iter().zip(&mut results) {
            // A backend for each measure, as what it freed would be found by the next.
            let backend = Backend::start()?;
            let mut turns: Vec<_> = products.iter().zip(found.iter_mut()).collect();
            if round % 2 == 1 {
                turns.reverse();
            }
            for (product, outcomes) in turns {
                let outcome = measure(plan, product.as_ref(), row, &backend, &cores).await;
                let shown = match &outcome {
                    Ok(Some(sample)) => row.unit.show(sample.cost_each()),
                    Ok(None) => "-".to_owned(),
                    Err(reason) => format!("failed: {reason}"),
                };
                eprintln!(
                    "round {} of {}: {}: {}: {shown}",
                    round + 1,
                    plan.rounds,
                    row.name,
                    product.name()
                );
                outcomes.push(outcome);
            }
        }
    }
    Ok(results)
}

async fn measure(plan: &Plan, product: &dyn Product, row: &Row, backend: &Backend, cores: &Cores) -> Outcome {
    let place = Place::new(backend.address).map_err(|error| error.to_string())?;
    let server = Server::start(product, &place, cores).await.map_err(|error| error.to_string())?;
    let trial = Trial { server: &server, backend: backend.tree(), plan };
    let most = PATIENCE + Duration::from_secs_f64(plan.seconds);
    let taken = timeout(most, row.take(&trial)).await.unwrap_or_else(|elapsed| Err(elapsed.into()));
    taken.map_err(|error| server.explain(&error, &place).to_string())
}
