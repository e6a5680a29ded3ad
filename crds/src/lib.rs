//! The StockPipeline API of stockpipe.
pub mod cron;
pub mod pipeline;
