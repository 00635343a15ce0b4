//! How long the probability of backtest overfitting takes: 50 worthless strategies over 1,000
//! steps, 16 blocks, so 12,870 splits, on one thread.

use criterion::Criterion;
use fusebox_engine::eval::luck::{ReturnsTable, backtest_overfitting};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

pub(crate) fn pbo(criterion: &mut Criterion) {
    let mut rng = ChaCha8Rng::seed_from_u64(16);
    let rows: Vec<Vec<f64>> = (0..50)
        .map(|_| (0..1000).map(|_| rng.random::<f64>() - 0.5).collect())
        .collect();
    let table = ReturnsTable::new(&rows).unwrap();
    let mut group = criterion.benchmark_group("pbo");
    group.sample_size(10);
    group.bench_function("16_blocks_1000x50", |bencher| {
        bencher.iter(|| backtest_overfitting(&table, 16).unwrap());
    });
    group.finish();
}
