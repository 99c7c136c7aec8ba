# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Which records a subscription is told of, and what of them.

PostgreSQL filters, with the rights, companies and language of the subscription's user.
An *item* is what is told of one record: its JSON text ("" without enrichment), or why
there is none: :class:`~..payload.Broken`, or `LATE` or `OWED`.

A subscription belongs to somebody else than the save that waits for it, so its work has
a budget: a statement's time, and values and bytes for each event. What exceeds it is
late: the row keeps the ids, and is built outside the save.
"""

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg2

from odoo.exceptions import AccessError
from odoo.fields import Domain
from odoo.models import BaseModel
from odoo.tools import SQL, Query, split_every

from ..tools import payload, validation
from ..tools.meter import Meter, OverMeter, metered
from ..tools.own_search import searched_by_code
from ..tools.payload import Broken, BrokenSubscription, Budget, OverBudget
from ..tools.words import _lt, detailed
from .apart import Trial

_logger = logging.getLogger(__name__)

# Items that are built later: nobody knows whether it matches; it does.
LATE, OWED = object(), object()
TOO_SLOW = Broken(
    "internal",
    _lt(
        "The domain or the enriched fields take the database too long; choose simpler ones."
    ),
)

UNASKED = Broken(
    "internal",
    _lt(
        "The filter uses a field that only Odoo's own code can search. That may take long, "
        "so nobody who deletes waits for it, and whether the record matched is not known. "
        "Filter by stored fields to be told of deletions."
    ),
)

SLICE = 1_000  # records filtered and described together
STATEMENT_MS = 500  # in somebody's save: of one statement, and of all of one user's
TURN_MS = 20  # more, for each time that it asks: deletions come one by one
RECORD_MS = 1  # and for each record
TOGETHER = 4  # users' worth of it, for all of them
MAX_STATEMENTS = 100  # with which one user's values are read, in each slice of a save
MAX_INNER = 50  # statements that one filter, or one computed value, makes by itself
OWN_MS = 30_000  # of what the save itself has done
PATIENT_MS = 20_000  # outside
PATIENCE = 10  # times the values that a save has time for

DEFAULT_LANG = "en_US"


@dataclass(frozen=True)
class Setting:
    """A subscription, and its user, as stored now."""

    id: int
    uuid: str
    name: str | None
    domain: str | None
    enrich_fields: str | None
    company_id: int | None
    endpoint_host: str | None
    paused: bool | None
    one_event_per_record: bool | None
    user_id: int | None
    user_name: str | None
    is_active_user: bool | None
    user_company_id: int | None
    lang: str | None
    tz: str | None
    company_lang: str | None
    partner_id: int | None
    in_session: bool | None = None

    @classmethod
    def unread(cls, id_, uuid, company_id):
        """Where nothing can be read: enough for a row that is built later."""
        unknown = dict.fromkeys(cls.__dataclass_fields__)
        return cls(**{**unknown, "id": id_, "uuid": uuid, "company_id": company_id})

    @classmethod
    def of(cls, subscription):
        """As a form shows it, maybe not stored yet."""
        stored = subscription.sudo()
        user = stored.user_id.with_context(active_test=False)
        return cls(
            stored._origin.id,
            stored.uuid,
            stored.name,
            stored.domain,
            stored.enrich_fields,
            stored.company_id._origin.id,
            stored.endpoint_host,
            stored.paused,
            stored.one_event_per_record,
            user._origin.id,
            user.name,
            user.active,
            user.company_id.id,
            user.lang,
            user.tz,
            user.company_id.partner_id.lang,
            user.partner_id.id,
            stored.in_session and not stored.webhook_url,
        )


def of_company(model, company_id):
    """Conditions: records of this company, or of none.

    :param company_id: of the subscription; None or False: any
    """
    owner = model._fields.get("company_id")
    if not company_id or owner is None or not owner._description_searchable:
        return []
    # through the ORM: some models have theirs from another one
    return [("company_id", "in", [company_id, False])]


class Judge:
    """Within `with judge:` it may be asked; what it reads is then forgotten.

    :param env: an environment :func:`~.apart.apart` from others
    :param is_patient: nobody's save waits
    :param milliseconds: of a statement, where it is neither a save nor the sweep
    :param meters: of the save, by user id: what is used up stays so until its end
    """

    def __init__(self, env, is_patient=False, milliseconds=None, meters=None):
        self.env = env
        self._meters = {} if meters is None else meters
        self._is_patient = is_patient
        self._milliseconds = milliseconds or (PATIENT_MS if is_patient else STATEMENT_MS)
        self._trial = Trial(env.cr, self._milliseconds)
        self._asked = {}
        self._slow_users, self._too_slow_users = set(), set()
        self._by_code = {}
        self._statements = {}  # of enrichment, by user id

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.end()

    def tried(self, query, milliseconds=None):
        """Rows of a statement that may fail: then all is as before it, for whoever called
        catches the error and ends the trial."""
        self._trial.open(query, milliseconds or self._milliseconds)
        return self.env.cr.fetchall()

    def noted(self, query):
        """The same of a question of our own about what was touched: it grows with that,
        not with anybody's filter."""
        return self.tried(query, OWN_MS)

    def end(self, then=None):
        """Take back what reading may have changed.

        :param then: SQL that is executed with it, in one round trip
        :raise psycopg2.Error: of `then`, which is taken back, too
        """
        self._asked.clear()
        self._trial.close(then)

    def settings(self, subscription_ids):
        """`{id: Setting}`. One statement of SQL: every matching write pays for it, and a
        language that was changed a moment ago is not yet in any cache."""
        query = SQL(
            """SELECT s.id, s.uuid, s.name, s.domain, s.enrich_fields, s.company_id,
                      s.endpoint_host, s.paused,
                      (to_jsonb(s) ->> 'one_event_per_record')::boolean,
                      s.user_id, p.name, u.active, u.company_id, p.lang, p.tz, cp.lang,
                      u.partner_id,
                      (to_jsonb(s) ->> 'in_session')::boolean
                          AND COALESCE(s.webhook_url, '') = ''
                 FROM mcp_event_subscription s
            LEFT JOIN res_users u ON u.id = s.user_id
            LEFT JOIN res_partner p ON p.id = u.partner_id
            LEFT JOIN res_company c ON c.id = u.company_id
            LEFT JOIN res_partner cp ON cp.id = c.partner_id
                WHERE s.id = ANY(%s)""",
            list(subscription_ids),
        )
        return {row[0]: Setting(*row) for row in self.tried(query)}

    # -- items -----------------------------------------------------------------------

    def items(self, setting, model_name, ids, is_leaving=False):
        """`{id: item}` of the records that match.

        :param is_leaving: they are about to be deleted: what is not said now never is
        """
        if setting.user_id in self._slow_users and not is_leaving:
            return dict.fromkeys(ids, LATE)
        if setting.user_id in self._too_slow_users:
            return dict.fromkeys(ids, TOO_SLOW)
        try:
            return self._items(setting, model_name, ids, is_leaving)
        except psycopg2.Error as error:
            self._trial.again()
            excuse = self._excuse(setting, error, is_leaving)
        except BrokenSubscription as error:
            excuse = error.broken
        except Exception as error:
            _logger.warning(
                "Subscription %s cannot be evaluated", setting.id, exc_info=True
            )
            self._trial.again()
            excuse = Broken(
                "internal",
                detailed(
                    _lt(
                        "The domain or the enriched fields cannot be evaluated; correct "
                        "the subscription."
                    ),
                    type(error).__name__,
                ),
            )
        return dict.fromkeys(ids, excuse)

    def _excuse(self, setting, error, is_leaving):
        if not isinstance(error, psycopg2.errors.QueryCanceled):
            return Broken(
                "internal",
                detailed(
                    _lt(
                        "The database refuses the domain or the enriched fields; correct "
                        "the subscription."
                    ),
                    type(error).__name__,
                ),
            )
        self._slow_users.add(setting.user_id)
        if self._is_patient:
            return TOO_SLOW
        if is_leaving:
            # one statement may take longer than it is allowed to, within one row: a second
            # one of the same user's is not waited for
            self._too_slow_users.add(setting.user_id)
            return TOO_SLOW
        return LATE

    def _items(self, setting, model_name, ids, is_leaving):
        if not self._is_patient and self._is_by_code(setting, model_name):
            return dict.fromkeys(ids, UNASKED if is_leaving else LATE)
        tree = payload.path_tree(setting.enrich_fields)
        items = {}
        for records in self.matching(setting, model_name, ids):
            if not tree:
                items.update(dict.fromkeys(records._ids, ""))
                continue
            self._try()
            for some in split_every(payload.MAX_RECORDS, records._ids):
                items.update(self._described(records.browse(some), tree, is_leaving))
        return items

    def _described(self, records, tree, is_leaving):
        try:
            if self._is_patient:
                with self._counted(records.env.uid):
                    return payload.describe(records, tree, Budget(PATIENCE))
            if not (is_leaving or self._has_statements(records.env.uid)):
                raise OverBudget
            with self._metered(records.env.uid) as budget:
                return payload.describe(records, tree, budget, is_cut=is_leaving)
        except OverMeter:
            if self._is_patient or is_leaving:
                raise
            self._trial.again()
            return dict.fromkeys(records._ids, OWED)
        except OverBudget:
            if not self._is_patient:
                return dict.fromkeys(records._ids, OWED)
        too_many = Broken(
            "payload_too_large",
            _lt("enrich_fields: the records have too many values; choose fewer fields."),
        )
        return dict.fromkeys(records._ids, too_many)

    def _has_statements(self, user_id):
        return self._statements.get(user_id, 0) < MAX_STATEMENTS

    @contextmanager
    def _metered(self, user_id):
        """All subscriptions of one user together have so many statements in a save."""
        cr = self.env.cr
        before, spent = cr.sql_log_count, self._statements.get(user_id, 0)
        left = max(MAX_STATEMENTS - spent, 0)
        try:
            with self._counted(user_id, left):
                yield Budget(1, lambda: cr.sql_log_count, left)
        finally:
            self._statements[user_id] = spent + cr.sql_log_count - before

    def _meter(self, user_id):
        if self._is_patient:
            return Meter(self._milliseconds)
        if user_id not in self._meters:
            whole = self._meters.setdefault(None, Meter(TOGETHER * STATEMENT_MS))
            self._meters[user_id] = Meter(STATEMENT_MS, whole)
        return self._meters[user_id]

    def _counted(self, user_id, statements=0):
        """While code runs that may ask the database as often as it likes."""
        statements += MAX_INNER * (PATIENCE if self._is_patient else 1)
        return metered(self.env.cr, self._meter(user_id), statements)

    def _grant(self, jobs):
        """A long save has more time for strangers than a short one."""
        most = {}
        for setting, _model_name, ids in jobs:
            most[setting.user_id] = max(most.get(setting.user_id, 0), len(ids))
        for user_id, records in most.items():
            self._meter(user_id).grant(TURN_MS + records * RECORD_MS)
        if most and not self._is_patient:
            longest = TURN_MS + max(most.values()) * RECORD_MS
            self._meters[None].grant(longest * TOGETHER)

    # -- who matches -----------------------------------------------------------------

    def ask(self, jobs, is_leaving=False):
        """Ask the filters of many subscriptions in one statement for each user, so that a
        save waits no longer for many than for one. Where that does not work, each is
        asked alone, later, with what is left of the user's time.

        :param jobs: `[(Setting, model name, ids)]`
        :param is_leaving: some of that time is kept for asking alone
        """
        by_user, jobs = {}, [j for j in jobs if j[0].user_id not in self._slow_users]
        self._statements.clear()
        self._grant(jobs)
        try:
            for setting, model_name, ids in jobs:
                queries = by_user.setdefault(setting.user_id, {})
                queries.update(self._queries(setting, model_name, ids))
        except psycopg2.Error:
            self._begin_again()
            return
        for user_id, queries in by_user.items():
            if len(queries) < 2:
                continue
            try:
                self._answer(user_id, queries, 2 if is_leaving else 1)
            except psycopg2.errors.QueryCanceled:
                self._begin_again()
                self._slow_users.add(user_id)
            except Exception:
                # the database's, or of a model's own code: each is asked alone
                self._begin_again()

    def _begin_again(self):
        self._trial.again(self._milliseconds)

    def _limit(self, user_id):
        """Milliseconds of a statement; changed only when most is used up, for each change
        is a statement, too."""
        left = self._meter(user_id).left
        return self._milliseconds if left * 2 >= self._milliseconds else left

    def _is_by_code(self, setting, model_name):
        """Whether code of a model's own has to search, which nobody's save waits for."""
        key = setting.domain, model_name
        if key not in self._by_code:
            domain = Domain(payload.parse_domain(setting.domain))
            model = self.env[model_name]
            self._by_code[key] = bool(searched_by_code(domain, model))
        return self._by_code[key]

    def _queries(self, setting, model_name, ids):
        try:
            if not self._is_patient and self._is_by_code(setting, model_name):
                return {}
            with self._counted(setting.user_id):
                return {
                    question: answer
                    for question in self._questions(setting, model_name, ids)
                    if question not in self._asked
                    and isinstance(answer := question.query(self), Query)
                }
        except psycopg2.Error:
            raise
        except Exception:
            return {}  # it will be asked alone, and told why not

    def _answer(self, user_id, queries, share):
        parts = [
            SQL("SELECT %s, q.id FROM (%s) q", number, query.select())
            for number, query in enumerate(queries.values())
        ]
        found = {number: [] for number in range(len(parts))}
        union = SQL(" UNION ALL ").join(SQL("(%s)", part) for part in parts)
        with self._timed(user_id):
            rows = self.tried(union, self._limit(user_id) / share)
        for number, id_ in rows:
            found[number].append(id_)
        with self._counted(user_id):
            for number, question in enumerate(queries):
                self._asked[question] = question.readable(found[number])

    def matching(self, setting, model_name, ids, domain=None):
        """Records that the subscription's user may read and its domain selects, in the
        user's environment, company by company.

        :param domain: another one than the subscription's
        :raise BrokenSubscription: there is nobody to read, or no way to
        """
        for question in self._questions(setting, model_name, ids, domain):
            if question not in self._asked:
                with self._counted(setting.user_id):
                    self._asked[question] = self._asked_alone(question)
            yield question.model.browse(self._asked[question])

    def _asked_alone(self, question):
        answer = question.query(self)
        if isinstance(answer, Query):
            self._try(question.model.env.uid)
            answer = question.readable(answer.get_result_ids())
        return answer

    @contextmanager
    def _timed(self, user_id):
        """A statement of ours on the user's behalf."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self._meter(user_id).spend((time.monotonic() - begun) * 1000)

    def _questions(self, setting, model_name, ids, domain=None):
        if model_name not in self.env:
            raise BrokenSubscription("internal", _lt("The model is not installed."))
        domain = payload.parse_domain(setting.domain) if domain is None else domain
        domain = [*domain, *of_company(self.env[model_name], setting.company_id)]
        for company_id, some in self._by_company(setting, model_name, ids, domain):
            model = self.reader(setting, company_id)[model_name]
            key = (model.env, model_name, str(domain), tuple(some))
            yield Question(key, model, Domain(domain), tuple(some))

    def _by_company(self, setting, model_name, ids, domain):
        """`[(id of the company to read in, ids)]`: the subscription's, else the record's,
        else the user's own."""
        companies = self._companies(setting)
        if setting.company_id:
            own = setting.company_id in companies
            yield (setting.company_id if own else companies[0]), ids
            return
        depends = len(companies) > 1 and (domain or setting.enrich_fields)
        field = self.env[model_name]._fields.get("company_id")
        if not depends or not field or not field.store:
            yield companies[0], ids
            return
        owners = self._owners(model_name, ids)
        groups = {}
        for id_ in ids:
            owner = owners.get(id_)
            first = owner if owner in companies else companies[0]
            groups.setdefault(first, []).append(id_)
        yield from groups.items()

    def _companies(self, setting):
        """The user's own company first."""
        if not setting.user_id:
            raise BrokenSubscription(
                "internal", _lt("The subscription has no user; choose one.")
            )
        user = self.env["res.users"].browse(setting.user_id)
        ids = set(user._get_company_ids()) - {setting.user_company_id}
        return (setting.user_company_id, *sorted(ids))

    def _owners(self, model_name, ids):
        table = SQL.identifier(self.env[model_name]._table)
        query = SQL("SELECT id, company_id FROM %s WHERE id = ANY(%s)", table, list(ids))
        return dict(self.env.execute_query(query))

    def reader(self, setting, company_id=None):
        """The environment of the subscription's user: rights, companies, language.

        :raise BrokenSubscription: there is none, or it is archived
        """
        companies = self._companies(setting)
        if not setting.is_active_user:
            raise BrokenSubscription(
                "internal",
                _lt("The user is archived; choose another user for the subscription."),
                setting.user_name,
            )
        self._spare(setting, companies)
        company_id = company_id or companies[0]
        others = (id_ for id_ in companies if id_ != company_id)
        context = {
            "lang": self._language(setting),
            "tz": setting.tz,
            "allowed_company_ids": [company_id, *others],
        }
        return self.env(user=setting.user_id, su=False, context=context)

    def _spare(self, setting, companies):
        """Put what is known into the cache; Odoo's rules would ask for it each time."""
        user = self.env["res.users"].browse(setting.user_id)
        user._fields["partner_id"]._insert_cache(user, [setting.partner_id])
        paths = self.env["mcp.event.subscription"]._company_paths(companies)
        known = self.env["res.company"].browse(paths)
        known._fields["parent_path"]._insert_cache(known, paths.values())

    def _language(self, setting):
        """As Odoo chooses it for a user without a browser."""
        installed = [code for code, _name in self.env["res.lang"].get_installed()]
        for lang in (setting.lang, setting.company_lang, DEFAULT_LANG, *installed):
            if lang in installed:
                return lang
        return DEFAULT_LANG

    def _try(self, user_id=None):
        """From here on statements may fail, and records may be changed by what reads
        them.

        :param user_id: whose filter is asked
        """
        limit = self._milliseconds if user_id is None else self._limit(user_id)
        self._trial.open(milliseconds=limit)


@dataclass(frozen=True)
class Question:
    """Which of the records does a user read, that a domain selects?

    :ivar model: empty, in the user's environment
    """

    key: tuple
    model: BaseModel = field(compare=False)
    domain: Domain = field(compare=False)
    ids: tuple[int, ...] = field(compare=False)

    def query(self, judge):
        """A `Query`, or the ids where nothing needs to be asked.

        :raise BrokenSubscription: the user may not ask that
        """
        if not self.model.has_access("read"):
            return ()
        if self.domain.is_true() and self._reads_everything():
            return self.ids
        judge._try(self.model.env.uid)  # a field's own way to search may ask the database
        model = self.model.with_context(active_test=False)
        try:
            # stored before there was such a rule, or the field was another one then
            validation.check_condition_fields(self.domain, model)
            # some models hide records from whoever does not ask for them: past their own
            # `_search`, what may be read is said by rules and `_check_access`, as of a read
            return BaseModel._search(model, Domain("id", "in", self.ids) & self.domain)
        except AccessError as error:
            raise BrokenSubscription(
                "internal",
                _lt(
                    "The domain uses something that the subscription's user may not read."
                ),
            ) from error

    def readable(self, ids):
        """Models with rules of their own in Python have the last word, in either of the
        ways in which Odoo asks for them before it reads."""
        cls, ids = type(self.model), sorted(ids)
        if cls._search is not BaseModel._search and ids:
            found = self.model._search([("id", "in", ids)], active_test=False)
            ids = sorted(found.get_result_ids())
        if cls._check_access is BaseModel._check_access:
            return tuple(ids)
        return self.model.browse(ids)._filtered_access("read")._ids

    def _reads_everything(self):
        """No rule, and nothing of the model's own, restrains."""
        cls, env = type(self.model), self.model.env
        if cls._check_access is not BaseModel._check_access:
            return False
        if cls._search is not BaseModel._search:
            return False
        if env.su:
            return True
        rules = env["ir.rule"]._compute_domain(self.model._name, "read")
        return Domain(rules).is_true()
