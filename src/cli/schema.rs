//! `svcops schema project|runbook|events`.
