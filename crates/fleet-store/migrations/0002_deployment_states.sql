-- How many deployments are in which state is asked every few seconds: the answer comes from this index.
-- The second column is the state that the device reported: see `progress_of` in counts.rs.
CREATE INDEX deployments_by_state ON deployments (life, (substr(report, 22, 10)))
    WHERE life <> 'gone';
