"""Guarantees, how each is broken, and the tests that have to notice. docs/reliability.md holds the same table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """One exchange of text in a file, where it stands once."""

    file: str
    sound: str
    broken: str


@dataclass(frozen=True)
class Guarantee:
    """``name``: what is promised. ``how``: how it is broken. ``tests``: of which each has to fail then."""

    name: str
    how: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


def _one(name: str, how: str, file: str, sound: str, broken: str, *tests: str) -> Guarantee:
    return Guarantee(name, how, (Edit(file, sound, broken),), tests)


_FRONT = "scorer/service/gateway/front"
_ATTACKS = "tests/integration/gateway/test_gateway_attacks.py"
_WIRE = "tests/unit/service/gateway/wire"
_GATEWAY = "tests/unit/service/gateway"
_OUTAGES = "tests/integration/queue/test_queue_outages.py"
_QUEUE = "tests/unit/service/queue"
_ARTIFACTS = "tests/unit/registry/test_attacked_artifacts.py"
_CUTS = f"{_WIRE}/test_smuggling.py"
_PEERS = "tests/unit/peers/test_hostile_servers.py"
_PARSING = "tests/unit/scoring/test_before_parsing.py"

GUARANTEES = (
    # What is not lost, and not done twice.
    _one(
        "a batch is acknowledged when it is done",
        "workers acknowledge before they begin",
        "scorer/service/queue/celery_app.py",
        '"task_acks_late": True',
        '"task_acks_late": False',
        f"{_QUEUE}/test_held_messages.py::test_a_message_is_held_while_its_work_is_done_and_no_longer",
        f"{_OUTAGES}::test_a_batch_whose_worker_is_killed_in_its_middle_is_scored_by_the_next",
    ),
    _one(
        "a message is held from the moment it is taken",
        "it is taken without a note of who has it",
        "scorer/service/queue/transport.py",
        "    redis.call('HSET', KEYS[3], tag, '[' .. item .. ', \"\", \"' .. ARGV[2] .. '\"]')\n",
        "",
        f"{_QUEUE}/test_held_messages.py::test_a_message_is_held_while_its_work_is_done_and_no_longer",
        f"{_OUTAGES}::test_rows_of_a_killed_delivery_are_written_soon",
        "tests/integration/test_stack_life.py::test_a_lost_worker_is_started_again_and_its_batch_delivered_again",
    ),
    _one(
        "rows are one worker's at a time",
        "every claim is granted",
        "scorer/service/queue/claims.py",
        "        mine = lock.acquire(blocking=False)\n",
        "        mine = lock.acquire(blocking=False) or True\n",
        f"{_QUEUE}/test_elastic_jobs.py::test_deliveries_of_one_part_at_once_send_it_once",
        f"{_QUEUE}/test_elastic_jobs.py::test_rows_that_another_worker_writes_wait_for_it",
    ),
    _one(
        "rows that were written are written no more",
        "they stay on the queue when they are settled",
        "scorer/service/worker/delivering.py",
        "        self.exchange.settle_part(job, tally)\n        self.exchange.forget_rows(job.rows_key)\n",
        "        self.exchange.settle_part(job, tally)\n",
        "tests/integration/queue/test_what_lies_on_disk.py::test_markers_are_where_the_security_page_says",
    ),
    _one(
        "the same row has the same id",
        "each batch makes ids of its own",
        "scorer/rows/identity.py",
        "    parts = (model, version) if writer is None else (model, version, writer.namespace, writer.source)\n",
        '    parts = (model, version, str(__import__("time").time_ns()))\n',
        "tests/integration/test_stack_delivery.py::test_the_same_rows_again_carry_the_same_ids",
        "tests/unit/rows/test_identity.py::test_ids_of_a_writer_do_not_change",
    ),
    _one(
        "Elasticsearch keeps the first of equal ids",
        "documents are indexed instead of created",
        "scorer/delivery/elastic/document.py",
        '{"create":',
        '{"index":',
        "tests/unit/delivery/test_elastic_document.py::test_whatever_rows_hold_becomes_one_action_and_one_document_each",
    ),
    Guarantee(
        "Splunk's searches count a score once",
        "those of two batches count twice",
        (
            Edit(
                "default/macros.conf", "definition = dedup qscore_id\n", "definition = dedup qscore_id qscore_batch\n"
            ),
            Edit(
                "default/savedsearches.conf",
                "            _index_earliest=-11m@m _index_latest=now by qscore_id \\\n",
                "            _index_earliest=-11m@m _index_latest=now by qscore_id qscore_batch \\\n",
            ),
        ),
        (
            "tests/unit/splunk_conf/test_equal_ids.py::test_searches_over_events_see_each_score_once",
            "tests/unit/splunk_conf/test_equal_ids.py::test_the_rule_counts_each_window_once",
        ),
    ),
    _one(
        "a batch that ends its workers is given up",
        "it is tried for ever",
        "scorer/service/worker/scoring.py",
        "            if deaths >= MAX_RUNS:\n",
        "            if deaths >= 10**9:\n",
        f"{_QUEUE}/test_reused_batch_ids.py::test_a_message_that_ended_its_worker_three_times_is_not_tried_again",
    ),
    Guarantee(
        "a full queue server is waited out",
        "its refusal ends the worker",
        (
            Edit(
                "scorer/service/queue/transport.py",
                "            return self._taken_from_full(error)\n",
                "            raise error\n",
            ),
            Edit(
                "scorer/service/queue/celery_app.py",
                '"broker_channel_error_retry": True',
                '"broker_channel_error_retry": False',
            ),
        ),
        (f"{_OUTAGES}::test_a_server_that_refuses_ends_nobody_and_its_rows_are_written",),
    ),
    _one(
        "what is under way is answered after SIGTERM",
        "the gateway ends at once",
        f"{_FRONT}/server.py",
        "            _, late = await asyncio.wait(self._connections, timeout=grace)\n",
        "            _, late = await asyncio.wait(self._connections, timeout=0.0)\n",
        "tests/integration/closing/test_closing.py::test_told_to_stop_it_answers_what_it_took",
    ),
    Guarantee(
        "a model that is disabled scores nothing",
        "neither gateway nor workers look",
        (
            Edit(
                "scorer/service/gateway/doors.py",
                "        if not switches.stop(asked.model):\n            return None\n",
                "        if switches is not None:\n            return None\n",
            ),
            Edit(
                "scorer/service/worker/scoring.py",
                "        if not switches.stop(job.model):\n            return None\n",
                "        if switches is not None:\n            return None\n",
            ),
        ),
        (
            "tests/integration/closing/test_closing.py::"
            "test_a_disabled_model_lets_rows_through_unscored_within_five_seconds",
        ),
    ),
    # What nobody can stop.
    Guarantee(
        "a handshake and a head have a deadline",
        "they have none",
        (
            Edit(
                f"{_FRONT}/connection.py",
                "            async with asyncio.timeout_at(until):\n                head = await read_head",
                "            async with asyncio.timeout_at(None):\n                head = await read_head",
            ),
            Edit(f"{_FRONT}/sockets.py", "asyncio.timeout_at(until)", "asyncio.timeout_at(None)"),
        ),
        (f"{_ATTACKS}::test_who_sends_no_whole_head_holds_nobody_up_and_is_sent_away",),
    ),
    _one(
        "a body has a deadline, however it comes",
        "each byte gives it as much time again",
        f"{_FRONT}/bodies.py",
        "        return self.seconds + moved / self.rate\n",
        "        return self.seconds * (1 + moved)\n",
        f"{_GATEWAY}/front/test_bodies.py::test_a_body_has_one_deadline_however_it_drips",
        f"{_ATTACKS}::test_bodies_that_drip_hold_no_thread_and_end_at_their_deadline",
    ),
    _one(
        "an address has so many connections",
        "it has as many as it likes",
        f"{_FRONT}/census.py",
        "        if len(group) >= self.per_address:\n",
        "        if len(group) >= 10**9:\n",
        f"{_GATEWAY}/front/test_census.py::test_an_address_that_has_too_many_loses_its_own",
    ),
    _one(
        "all bodies together have a bound in memory",
        "there is always room",
        f"{_FRONT}/bodies.py",
        "        if self._waiting or self._held + count > self.size:\n",
        "        if self._waiting:\n",
        f"{_GATEWAY}/front/test_bodies.py::test_bodies_together_hold_no_more_memory_than_there_is_room",
        f"{_ATTACKS}::test_bodies_take_the_memory_that_they_are_given_and_no_more",
    ),
    _one(
        "a body has a bound by its rows",
        "it may be as long as it is",
        "scorer/wire/limits.py",
        "    if length > most:\n",
        "    if length > 2**63:\n",
        f"{_PARSING}::test_a_body_beyond_the_bytes_of_its_rows_is_not_parsed",
        "tests/unit/wire/test_body_limits.py::test_one_byte_too_many_is_refused_with_the_numbers",
        "tests/integration/gateway/test_gateway_service.py::test_bodies_over_the_limit_are_refused_by_their_announcement",
    ),
    _one(
        "JSON is measured before it is parsed",
        "it is parsed at once",
        "scorer/scoring/tables.py",
        "    check_shape(body, rows, MAX_COLUMNS)\n",
        "",
        f"{_PARSING}::test_hostile_json_is_refused_with_little_memory[lists]",
        f"{_PARSING}::test_hostile_json_is_refused_with_little_memory[objects]",
    ),
    _one(
        "what Arrow decodes to is bounded",
        "it is decoded, whatever it is",
        "scorer/scoring/decode.py",
        "    check_held(table.columns, frozenset(_CONTEXT))\n",
        "",
        f"{_PARSING}::test_dictionaries_that_decode_to_gigabytes_are_refused",
    ),
    _one(
        "keys take turns",
        "who came first is served first",
        "scorer/service/gateway/traffic/fair_queue.py",
        "        tag = max(self._now, self._stands.get(key, 0.0))\n",
        "        tag = 0.0\n",
        f"{_GATEWAY}/test_turns.py::test_one_keys_flood_does_not_push_out_another",
        "tests/integration/gateway/test_fairness.py::test_another_keys_batch_is_scored_before_most_of_a_flood",
    ),
    _one(
        "a process has a limit of memory",
        "it has none",
        "scorer/service/worker/memory.py",
        "    resource.setrlimit(resource.RLIMIT_AS, (most, hard))\n",
        "",
        "tests/unit/service/worker/test_memory.py::test_a_process_grows_to_its_limit",
    ),
    _one(
        "a server that is asked has a deadline (gateway, splunkd, HEC, Kibana)",
        "each receive has one of its own",
        "scorer/wire/transport.py",
        "        self._connected.settimeout(_remaining(self.deadline))\n        return self._connected.recv_into",
        "        return self._connected.recv_into",
        f"{_PEERS}::test_no_saying_holds_a_client_up_or_fills_its_memory[a head by drips]",
        "tests/unit/delivery/test_hec_sink.py::test_a_collector_that_trickles_is_left_at_the_deadline",
    ),
    _one(
        "a server that is asked has a deadline (Elasticsearch)",
        "each receive has one of its own",
        "scorer/elastic_client/deadline.py",
        "        if self._seconds is None:\n            return\n        allowed",
        "        if not self._moved or self._moved:\n            return\n        allowed",
        f"{_PEERS}::test_no_saying_holds_a_client_up_or_fills_its_memory[a head by drips]",
        f"{_PEERS}::test_no_saying_holds_a_client_up_or_fills_its_memory[a body by drips]",
    ),
    _one(
        "only regular files are opened, without waiting",
        "whatever lies there is opened",
        "scorer/files.py",
        "_FLAGS = os.O_RDONLY | os.O_NONBLOCK |",
        "_FLAGS = os.O_RDONLY |",
        "tests/unit/registry/test_hostile_files.py::test_what_is_no_file_is_refused_at_once[registry/lateral/aliases.json-_pipe]",
    ),
    # What nobody can forge.
    _one(
        "an artifact's signature is verified",
        "any signature is right",
        "scorer/registry/keys.py",
        "        Ed25519PublicKey.from_public_bytes(key.public_key).verify(signature, payload)\n",
        "        Ed25519PublicKey.from_public_bytes(key.public_key)\n",
        f"{_ARTIFACTS}::test_bits_that_were_changed_stop_the_model_or_change_nothing[manifest.json]",
        f"{_ARTIFACTS}::test_a_key_of_a_stranger_signs_nothing_here_not_even_under_a_known_id",
        "tests/unit/registry/test_store.py::test_a_changed_byte_in_any_file_stops_the_model[manifest.json]",
    ),
    _one(
        "an artifact's arrays are those that were signed",
        "their digests are not compared",
        "scorer/registry/arrays.py",
        '    if hashlib.sha256(raw).hexdigest() != wanted.get("sha256"):\n',
        '    if not wanted.get("sha256"):\n',
        f"{_ARTIFACTS}::test_other_numbers_in_a_sound_archive_stop_the_model",
    ),
    _one(
        "a revoked signing key signs nothing",
        "revocation is not looked at",
        "scorer/registry/trusted.py",
        "    if key.revoked:\n        raise ModelRevoked",
        "    if False:\n        raise ModelRevoked",
        "tests/unit/registry/test_store.py::test_a_revoked_key_stops_its_models",
        "tests/unit/service/worker/test_held_models.py::test_a_model_that_is_held_stops_with_its_key_and_with_its_alias",
    ),
    _one(
        "aliases never go back",
        "the counter is not compared",
        "scorer/registry/seen.py",
        "    if aliases.counter < before.counter:\n",
        "    if aliases.counter < 0:\n",
        "tests/unit/registry/test_aliases.py::test_aliases_put_back_are_refused_by_all_that_saw_newer_ones",
    ),
    _one(
        "what lies on the queue was sealed by its keys",
        "every seal is right",
        "scorer/service/queue/sealing/seal.py",
        "        if not any(hmac.compare_digest(mac, _mac(key, purpose, made, value)) for key in keys):\n",
        "        if not mac:\n",
        f"{_QUEUE}/sealing/test_seals.py::test_a_message_that_was_changed_or_belongs_elsewhere_is_refused",
        f"{_QUEUE}/sealing/test_seals.py::test_bodies_and_rows_are_sealed_for_their_key",
    ),
    _one(
        "the audit record's entries are those that were written",
        "their hashes are not compared",
        "scorer/chain.py",
        "    if not whole or hashlib.sha256(canonical(unhashed)).hexdigest() != entry.hash:\n",
        "    if not whole:\n",
        "tests/unit/chain/test_chain.py::test_any_changed_byte_is_found_where_it_is",
    ),
    _one(
        "the audit record's entries follow on each other",
        "the hash of the one before is not compared",
        "scorer/chain.py",
        "    if entry.previous != head.hash:\n",
        "    if not entry.previous and head.number:\n",
        "tests/unit/chain/test_chain.py::test_an_entry_forged_with_a_right_hash_is_found",
    ),
    _one(
        "another writer cannot make an id",
        "the writer is no part of it",
        "scorer/rows/identity.py",
        "    parts = (model, version) if writer is None else (model, version, writer.namespace, writer.source)\n",
        "    parts = (model, version)\n",
        "tests/integration/test_stack_delivery.py::test_another_write_key_cannot_make_the_id_of_a_score",
        "tests/unit/rows/test_identity.py::test_each_part_of_a_writer_makes_another_id",
    ),
    _one(
        "a model costs a row no more than is possible",
        "its circuit may be as long as it is",
        "scorer/circuits/steps/checks.py",
        "    most = MAX_OPERATIONS if qubits <= MAX_QUBITS else MAX_SIMULATED_OPERATIONS\n",
        "    most = 1 << 60\n",
        "tests/unit/registry/test_cost.py::test_a_circuit_that_costs_too_much_is_refused_with_the_numbers",
        "tests/unit/registry/test_cost.py::test_a_signed_model_that_costs_too_much_is_not_loaded",
    ),
    _one(
        "a backup's files are those of its list",
        "their digests are not compared",
        "scorer/service/backup/restore.py",
        "    if digest.hexdigest() != member.sha256:\n",
        "    if not digest.hexdigest():\n",
        "tests/unit/service/backup/test_hostile_archives.py::test_lists_and_archives_that_do_not_fit_together",
    ),
    # Who may do what.
    _one(
        "a key may what its scopes say",
        "every scope is there",
        "scorer/service/access/door/callers.py",
        "        self.rights.check_scope(self.name, scope)\n",
        "        _ = scope\n",
        f"{_WIRE}/test_scopes.py::test_a_key_opens_what_its_scopes_say_and_nothing_else[read]",
    ),
    _one(
        "a revoked key is refused after its body came, too",
        "it is looked at before alone",
        "scorer/service/gateway/app.py",
        "    gateway.door.check_still(permit.key)",
        "    _ = permit.key",
        f"{_GATEWAY}/test_token_route.py::test_a_key_that_is_revoked_while_its_body_comes_scores_nothing",
    ),
    _one(
        "an acknowledgement list is its key's own",
        "any list may be named",
        "scorer/service/access/door/callers.py",
        "        if submitter is not None and not submitter.startswith(prefix):\n",
        "        if submitter is not None and not prefix:\n",
        f"{_GATEWAY}/test_request_lines.py::test_a_key_pushes_onto_acknowledgement_lists_of_its_own_alone",
    ),
    _one(
        "a key opens nothing after its end",
        "ends are not looked at",
        "scorer/service/access/api_keys.py",
        "        if self.expires is not None and self.expires <= now:\n",
        "        if self.expires is not None and now < 0:\n",
        "tests/unit/service/access/test_api_keys.py::test_an_ended_key_is_refused_with_its_id_and_the_remedy",
        f"{_GATEWAY}/test_request_lines.py::test_an_expired_key_is_named_with_its_remedy",
    ),
    _one(
        "a person's token was signed by the provider",
        "its signature is not verified",
        "scorer/service/access/oidc/people.py",
        'options={"require": _REQUIRED,',
        'options={"require": _REQUIRED, "verify_signature": False,',
        "tests/unit/service/access/test_oidc.py::test_a_stranger_s_key_and_a_changed_token",
    ),
    _one(
        "a key has limits of its own",
        "what it has under way is not counted",
        "scorer/service/gateway/traffic/limits.py",
        "            _check_beside(key_id, load, most, use)\n",
        "",
        f"{_GATEWAY}/test_limits.py::test_beyond_a_limit_its_key_hears_which_and_what_to_do",
        "tests/integration/gateway/test_fairness.py::test_beyond_a_limit_the_one_who_has_it_hears_when_to_come_again",
    ),
    # What nobody learns.
    _one(
        "searches lie on a server that writes nothing",
        "it has an append-only file",
        "scorer/service/stack/children.py",
        '"yes" if server == DURABLE and settings.delivers else "no"',
        '"yes"',
        "tests/integration/queue/test_what_lies_on_disk.py::test_markers_are_where_the_security_page_says",
    ),
    _one(
        "what a stack writes is its user's alone",
        "files are made by the umask that was there",
        "scorer/service/stack/supervisor.py",
        "                umask=0o077,",
        "                umask=0o022,",
        "tests/integration/queue/test_what_lies_on_disk.py::test_markers_are_where_the_security_page_says",
    ),
    _one(
        "secrets that others may read are refused",
        "they are read",
        "scorer/files.py",
        "    if secret and mode & _forbidden(status):\n",
        "    if secret and mode & 0:\n",
        "tests/unit/files/test_files.py::test_a_secret_that_is_not_its_owners_alone_is_refused",
        "tests/unit/elastic_client/test_client_settings.py::test_a_key_that_others_may_read_is_refused",
    ),
    _one(
        "the gateway speaks TLS 1.2 or later",
        "it speaks what anybody likes",
        "scorer/service/gateway/server.py",
        "    context.minimum_version = ssl.TLSVersion.TLSv1_2\n",
        '    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED\n    context.set_ciphers("ALL:@SECLEVEL=0")\n',
        f"{_WIRE}/test_tls.py::test_old_versions_of_tls_are_refused",
    ),
    _one(
        "plain redis:// goes to this machine alone",
        "it goes anywhere",
        "scorer/service/queue/broker.py",
        '    if parts.scheme == "redis" and not is_loopback(host) and host not in settings.broker_plain_hosts:\n',
        "    if not host:\n",
        f"{_QUEUE}/test_queue_settings.py::test_an_unencrypted_queue_on_another_host_is_refused_unless_named",
    ),
    _one(
        "no answer says where files lie",
        "errors are shown as they are",
        "scorer/service/access/disclosure.py",
        "    if (detail, remedy) == (error.detail, error.remedy):\n",
        "    if detail or remedy:\n",
        f"{_GATEWAY}/test_disclosure.py::test_no_answer_says_where_files_lie",
    ),
    _one(
        "no text acts on a terminal",
        "texts are printed as they are",
        "scorer/printable.py",
        '    return "".join(c if c.isprintable() or c in "\\n\\t" else " " for c in text)\n',
        "    return text\n",
        "tests/unit/cli/test_terminal.py::test_no_text_keeps_what_a_terminal_acts_on",
        "tests/unit/cli/test_terminal.py::test_a_console_prints_harmless_text",
    ),
    _one(
        "a copied field stands where it decides nothing",
        "every place is free",
        "scorer/elastic_client/copies.py",
        '    if parts[0] in OWN_ROOTS or name.startswith(("_", *_OWN_FIELDS)):\n',
        "    if not parts:\n",
        "tests/unit/delivery/test_hostile_copies.py::test_no_copy_decides_anything[copied-'kibana.alert.status']",
    ),
    _one(
        "a request has one reading",
        "a length beside chunks is taken",
        f"{_FRONT}/heads.py",
        '    if any(name == "transfer-encoding" for name, _ in given):\n',
        '    if any(name == "transfer-encoding" and len(given) < 3 for name, _ in given):\n',
        f"{_CUTS}::test_a_request_of_two_readings_is_refused_and_nothing_in_it_is_answered[length and chunks]",
    ),
)
