-- A journal as svcops 0.1 wrote it: two runs, one good, one that failed and owes. Never changed; later versions must open it.
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE events (
    run  TEXT    NOT NULL,
    seq  INTEGER NOT NULL,
    at   TEXT    NOT NULL,              -- RFC 3339, UTC
    kind TEXT    NOT NULL,
    json TEXT    NOT NULL,
    prev TEXT    NOT NULL,              -- the hash of the event before it; empty for the first
    hash TEXT    NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO events VALUES('01M7Q5CQG0',1,'2026-11-18T11:06:40Z','started','{"event":"started","project":"crm","runbook":"billing-restart","runbook_hash":"f1499d1a0654c3151ae946af449d8d310a11ba7f4682f279aa1c4568ca97fb34","inventory_hash":"ddac58fec7f759b5a38180355a1d481bd72c0b81bd3b9c9ecc4bde9e76dbc76c","params":{"site":"dc1"},"parallel":32,"plan":null,"operator":{"name":"мария","uid":1000,"login":true,"machine":"ops-1","pid":1},"reason":"плановые работы","root":"/srv/crm","version":"0.1.0"}','','13c06c7d25dadffe79d2d0fd74ce618c6b8c617258bd6296fd600a2e6682f6e6');
INSERT INTO events VALUES('01M7Q5CQG0',2,'2026-11-18T11:06:41Z','locked','{"event":"locked","exclusive":["dc1-app1/unit/billing.service"],"shared":["dc1-app1"]}','13c06c7d25dadffe79d2d0fd74ce618c6b8c617258bd6296fd600a2e6682f6e6','d73aac19af18ed6f115c3653a146222756cb98ed09428f7bdf16eb56eaa35abe');
INSERT INTO events VALUES('01M7Q5CQG0',3,'2026-11-18T11:06:42Z','phase','{"event":"phase","step":"2.1","name":"Перезапуск","batch":{"number":1,"of":2},"hosts":["dc1-app1"]}','d73aac19af18ed6f115c3653a146222756cb98ed09428f7bdf16eb56eaa35abe','6944918ee89255abdf6d726270a0e0a21179f6a57f41b47ccefc2fe647f82f05');
INSERT INTO events VALUES('01M7Q5CQG0',4,'2026-11-18T11:06:43Z','skipped','{"event":"skipped","task":"1@dc1-app1","why":"`when` is false"}','6944918ee89255abdf6d726270a0e0a21179f6a57f41b47ccefc2fe647f82f05','f61d29a855071458386abbb0559e2fdfae3a23bd9e5ab28ff9150211d24b5bef');
INSERT INTO events VALUES('01M7Q5CQG0',5,'2026-11-18T11:06:44Z','began','{"event":"began","task":"2.1@dc1-app1","step":"2.1","name":"Перезапуск","host":"dc1-app1","action":"app.restart","value":{"unit":"billing.service"},"before":{"unit":{"loaded":true,"state":"active","pid":7}},"within":"5m"}','f61d29a855071458386abbb0559e2fdfae3a23bd9e5ab28ff9150211d24b5bef','85fbccf6416c9f85c9d863a1940cdd68a08667da0da6eb059de80919e65888f0');
INSERT INTO events VALUES('01M7Q5CQG0',6,'2026-11-18T11:06:45Z','announced','{"event":"announced","task":"2.1@dc1-app1","way":"forward","number":0,"changes":[{"at":{"host":"dc1-app1","become":"root"},"what":{"restart_unit":"billing.service"}}],"expect":{},"boot":"b1"}','85fbccf6416c9f85c9d863a1940cdd68a08667da0da6eb059de80919e65888f0','40c9c787e6ee92e2c6e100e3386d15c9e42d07216baf1c3d1926b6e89f937d6a');
INSERT INTO events VALUES('01M7Q5CQG0',7,'2026-11-18T11:06:46Z','carried','{"event":"carried","task":"2.1@dc1-app1","way":"forward","number":0,"receipt":{"outcome":"ok","code":0}}','40c9c787e6ee92e2c6e100e3386d15c9e42d07216baf1c3d1926b6e89f937d6a','2fd5dbc96aaa8261b855163c87aa86e54a6e10a3b20d73c6f30eed330f128fde');
INSERT INTO events VALUES('01M7Q5CQG0',8,'2026-11-18T11:06:47Z','ended','{"event":"ended","task":"2.1@dc1-app1","way":"forward","how":{"done":{"outputs":null}},"seen":{"unit":{"loaded":true,"state":"active","pid":7}},"changed":true}','2fd5dbc96aaa8261b855163c87aa86e54a6e10a3b20d73c6f30eed330f128fde','8140b8faebbcf6ed6ca3a44f2589430c0ccecf15f678be67f0f790dbf430690b');
INSERT INTO events VALUES('01M7Q5CQG0',9,'2026-11-18T11:06:48Z','finished','{"event":"finished","outcome":"done","exit_code":0,"changed":1,"owed":0}','8140b8faebbcf6ed6ca3a44f2589430c0ccecf15f678be67f0f790dbf430690b','64a9865ceda1b7971174c51c06b94604112170a125a87597b4be6723ab202259');
INSERT INTO events VALUES('01M7Q5FS50',1,'2026-11-18T11:08:20Z','started','{"event":"started","project":"crm","runbook":"billing-restart","runbook_hash":"f1499d1a0654c3151ae946af449d8d310a11ba7f4682f279aa1c4568ca97fb34","inventory_hash":"ddac58fec7f759b5a38180355a1d481bd72c0b81bd3b9c9ecc4bde9e76dbc76c","params":{"site":"dc1"},"parallel":32,"plan":null,"operator":{"name":"мария","uid":1000,"login":true,"machine":"ops-1","pid":1},"reason":"плановые работы","root":"/srv/crm","version":"0.1.0"}','','f42b30fb51513250657393d345ae7d5ded74ab56c658a792c5f1f014d436142f');
INSERT INTO events VALUES('01M7Q5FS50',2,'2026-11-18T11:08:21Z','locked','{"event":"locked","exclusive":["dc1-app1/unit/billing.service"],"shared":["dc1-app1"]}','f42b30fb51513250657393d345ae7d5ded74ab56c658a792c5f1f014d436142f','4f5b041a5dbf971c8ec318287ba7c19b4191b3b1d3d26f574bc26952bf97091d');
INSERT INTO events VALUES('01M7Q5FS50',3,'2026-11-18T11:08:22Z','phase','{"event":"phase","step":"2.1","name":"Перезапуск","batch":{"number":1,"of":2},"hosts":["dc1-app1"]}','4f5b041a5dbf971c8ec318287ba7c19b4191b3b1d3d26f574bc26952bf97091d','9b46c5ee17e951066dcf2229ae1d8aa53b93e604a0858fc577e4008698573156');
INSERT INTO events VALUES('01M7Q5FS50',4,'2026-11-18T11:08:23Z','skipped','{"event":"skipped","task":"1@dc1-app1","why":"`when` is false"}','9b46c5ee17e951066dcf2229ae1d8aa53b93e604a0858fc577e4008698573156','ba762e84a831c400d3924da67d7ef9d2c9ba758c763da5b6437403897183f319');
INSERT INTO events VALUES('01M7Q5FS50',5,'2026-11-18T11:08:24Z','began','{"event":"began","task":"2.1@dc1-app1","step":"2.1","name":"Перезапуск","host":"dc1-app1","action":"app.restart","value":{"unit":"billing.service"},"before":{"unit":{"loaded":true,"state":"active","pid":7}},"then":[{"key":"k1","step":"2.1.then1","name":"Перезапуск","host":"dc1-app1","action":"app.restart","value":{"unit":"billing.service"}}],"within":"5m"}','ba762e84a831c400d3924da67d7ef9d2c9ba758c763da5b6437403897183f319','083cdeb3ad255ccf9857405fb5c9a869c8d9bf5998ae093c6c137ec6828bca25');
INSERT INTO events VALUES('01M7Q5FS50',6,'2026-11-18T11:08:25Z','announced','{"event":"announced","task":"2.1@dc1-app1","way":"forward","number":0,"changes":[{"at":{"host":"dc1-app1","become":"root"},"what":{"restart_unit":"billing.service"}}],"expect":{},"boot":"b1"}','083cdeb3ad255ccf9857405fb5c9a869c8d9bf5998ae093c6c137ec6828bca25','a11f3ddd390b2294025e03148100154344d317fe06f46edc3bab1127b33c58c3');
INSERT INTO events VALUES('01M7Q5FS50',7,'2026-11-18T11:08:26Z','carried','{"event":"carried","task":"2.1@dc1-app1","way":"forward","number":0,"receipt":{"outcome":{"failed":"exit code 1"},"code":1,"stderr":{"text":"Job for billing.service failed.\nСмотри журнал","bytes":60}}}','a11f3ddd390b2294025e03148100154344d317fe06f46edc3bab1127b33c58c3','63b787edb1681bf1d7bd35503d461983d0d1ab09eb316db8890b86c5fd79c9e0');
INSERT INTO events VALUES('01M7Q5FS50',8,'2026-11-18T11:08:27Z','ended','{"event":"ended","task":"2.1@dc1-app1","way":"forward","how":{"failed":"`billing.service` did not start"},"seen":{"unit":{"loaded":true,"state":"active","pid":7}},"changed":true}','63b787edb1681bf1d7bd35503d461983d0d1ab09eb316db8890b86c5fd79c9e0','e3525024536b478309e44018aa42773fd53a3555c94660bf1fcf1149e3f20c66');
INSERT INTO events VALUES('01M7Q5FS50',9,'2026-11-18T11:08:28Z','finished','{"event":"finished","outcome":"failed","exit_code":3,"why":"`billing.service` on `dc1-app1` did not start","changed":1,"owed":1,"stands":["dc1-app1: billing.service is failed"]}','e3525024536b478309e44018aa42773fd53a3555c94660bf1fcf1149e3f20c66','b49b717d18e3eb000b422fe9ceb830c71c7c6f9ee2b53cdc6093d3506f1b58a7');
CREATE TABLE ledger (
    seq  INTEGER NOT NULL PRIMARY KEY,
    run  TEXT    NOT NULL,
    head INTEGER NOT NULL,              -- the event that was the run's last one then
    hash_of_head TEXT NOT NULL,
    prev TEXT    NOT NULL,
    hash TEXT    NOT NULL
) STRICT;
INSERT INTO ledger VALUES(1,'01M7Q5CQG0',1,'13c06c7d25dadffe79d2d0fd74ce618c6b8c617258bd6296fd600a2e6682f6e6','','d22141b710c6683dffe3ab6b67ef4236169be300baf16c4444d9141088435c37');
INSERT INTO ledger VALUES(2,'01M7Q5CQG0',9,'64a9865ceda1b7971174c51c06b94604112170a125a87597b4be6723ab202259','d22141b710c6683dffe3ab6b67ef4236169be300baf16c4444d9141088435c37','1a8f8bb586295592b5fb4dbb2edd95241a855e61522b4d321615296bda414f1e');
INSERT INTO ledger VALUES(3,'01M7Q5FS50',1,'f42b30fb51513250657393d345ae7d5ded74ab56c658a792c5f1f014d436142f','1a8f8bb586295592b5fb4dbb2edd95241a855e61522b4d321615296bda414f1e','d357dfa51a4849149ec6ce0b6880f4fb0d56d006833d5c94f1b1bdd1aae12f51');
INSERT INTO ledger VALUES(4,'01M7Q5FS50',9,'b49b717d18e3eb000b422fe9ceb830c71c7c6f9ee2b53cdc6093d3506f1b58a7','d357dfa51a4849149ec6ce0b6880f4fb0d56d006833d5c94f1b1bdd1aae12f51','1bc7897ec167f3b10403437b2bd08cdb5558c758b93f7e3da1f2f8b737238e5a');
CREATE TABLE runs (
    run       TEXT    NOT NULL PRIMARY KEY,
    head      INTEGER NOT NULL,
    hash      TEXT    NOT NULL,
    runbook   TEXT    NOT NULL,
    operator  TEXT    NOT NULL,
    machine   TEXT    NOT NULL,
    began     TEXT    NOT NULL,
    ended     TEXT,
    outcome   TEXT,
    exit_code INTEGER,
    changed   INTEGER NOT NULL DEFAULT 0,
    owed      INTEGER NOT NULL DEFAULT 0,
    locked    INTEGER                   -- its last `locked` event
) STRICT, WITHOUT ROWID;
INSERT INTO runs VALUES('01M7Q5CQG0',9,'64a9865ceda1b7971174c51c06b94604112170a125a87597b4be6723ab202259','billing-restart','мария','ops-1','2026-11-18T11:06:40Z','2026-11-18T11:06:48Z','done',0,1,0,2);
INSERT INTO runs VALUES('01M7Q5FS50',9,'b49b717d18e3eb000b422fe9ceb830c71c7c6f9ee2b53cdc6093d3506f1b58a7','billing-restart','мария','ops-1','2026-11-18T11:08:20Z','2026-11-18T11:08:28Z','failed',3,1,1,2);
CREATE TABLE payments (
    owing TEXT NOT NULL,                -- the run that owed it
    debt  TEXT NOT NULL,
    run   TEXT NOT NULL,                -- the run that paid it
    PRIMARY KEY (owing, debt)
) STRICT, WITHOUT ROWID;
CREATE TABLE contents (
    hash  TEXT NOT NULL PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;
INSERT INTO contents VALUES('f1499d1a0654c3151ae946af449d8d310a11ba7f4682f279aa1c4568ca97fb34',X'7b226e616d65223a2262696c6c696e672d72657374617274227d');
INSERT INTO contents VALUES('ddac58fec7f759b5a38180355a1d481bd72c0b81bd3b9c9ecc4bde9e76dbc76c',X'7b2270726f6a656374223a2263726d222c227469746c65223a22d091d0b8d0bbd0bbd0b8d0bdd0b3227d');
CREATE INDEX ledger_of_run ON ledger (run);
CREATE INDEX runs_open  ON runs (run) WHERE ended IS NULL OR outcome IN ('unknown', 'stopped');
CREATE INDEX runs_owing ON runs (run) WHERE owed > 0;
CREATE INDEX runs_of_runbook ON runs (runbook, run);
COMMIT;
PRAGMA user_version = 1;
