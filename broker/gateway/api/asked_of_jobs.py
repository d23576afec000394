"""What is asked of jobs: which of them, how they are to be shown, what they are to become."""

import enum
from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from broker.errors import InvalidRequestError
from broker.gateway.api.asking import FURTHEST, Moment
from broker.gateway.cursors import parse_list_cursor
from broker.gateway.filters import JobFilter, Part
from schemas.batches import MOST_JOBS
from schemas.requests import MAX_TAGS, Tags

MAX_PAGE = 200  # jobs


class TagsAsked(msgspec.Struct, frozen=True):
    """The tags that a job is to have."""

    tags: Tags


class SeveralJobs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several jobs: each of them is accepted or refused by itself."""

    jobs: Annotated[
        Sequence[
            Annotated[Any, Meta(description="A `SubmitJob`.", extra_json_schema={"type": "object"})]
        ],
        Meta(max_length=MOST_JOBS),
    ]


class Order(enum.StrEnum):
    """How a list is ordered: by age."""

    ASC = "ASC"
    DESC = "DESC"

    @classmethod
    def _missing_(cls, value: object) -> "Order | None":
        return cls.__members__.get(str(value).upper())


Excluding: TypeAlias = Annotated[
    str, Meta(description="`true` leaves the inputs out; anything else shows them.")
]

Mocks: TypeAlias = Annotated[bool, Meta(description="Dry runs and their backends, too.")]


class JobAsked(msgspec.Struct, frozen=True):
    """How a job is wanted."""

    exclude_params: Excluding = ""

    @property
    def wants_params(self) -> bool:
        """Whether inputs are to be shown: there are clients that say `False`."""
        return self.exclude_params.lower() != "true"


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs are meant."""

    tags: Annotated[
        tuple[str, ...],
        Meta(description="Jobs with this tag; several: with all of them."),
    ] = ()
    tag: Annotated[tuple[str, ...], Meta(description="The same as `tags`.")] = ()
    program: Annotated[str | None, Meta(description="Jobs of this program.")] = None
    session_id: Annotated[str | None, Meta(description="Jobs of this session.")] = None

    def all_tags(self) -> tuple[str, ...]:
        """The tags that a job must have, each once. Raises `InvalidRequestError`."""
        tags = tuple(dict.fromkeys(self.tags + self.tag))
        if len(tags) > MAX_TAGS:
            raise InvalidRequestError(
                f"tags: {len(tags)} of them, but a job has at most {MAX_TAGS}"
            )
        return tags

    def filter(self, tenant: str) -> JobFilter:
        """Those of *tenant*. Raises `InvalidRequestError`."""
        return JobFilter(
            tenant=tenant, tags=self.all_tags(), program=self.program, session=self.session_id
        )


class JobsAsked(Chosen, frozen=True, kw_only=True):
    """Which jobs are wanted in a list, and which part of it."""

    limit: Annotated[
        int, Meta(ge=0, description=f"At most so many, and {MAX_PAGE}; 0: none, only the count.")
    ] = MAX_PAGE
    offset: Annotated[int, Meta(ge=0, description="Leave out so many from the start.")] = 0
    cursor: Annotated[
        str,
        Meta(
            description="Go on from here: the `next` of the page before, with the same filters and"
            " order. Beats `offset` where jobs come and go."
        ),
    ] = ""
    sort: Annotated[Order, Meta(description="`ASC`: oldest first.")] = Order.DESC
    pending: Annotated[bool | None, Meta(description="Jobs that have not ended, or that have.")] = (
        None
    )
    backend: Annotated[str | None, Meta(description="Jobs on this backend.")] = None
    created_after: Annotated[Moment | None, Meta(description="Younger jobs.")] = None
    created_before: Annotated[Moment | None, Meta(description="Older jobs.")] = None
    exclude_params: Excluding = ""
    include_mocks: Mocks = False

    def filter(self, tenant: str) -> JobFilter:
        """Those of *tenant*. Raises `InvalidRequestError`."""
        return JobFilter(
            tenant=tenant,
            tags=self.all_tags(),
            program=self.program,
            session=self.session_id,
            backend=self.backend,
            terminal=None if self.pending is None else not self.pending,
            created_after=self.created_after,
            created_before=self.created_before,
            mocks=bool(self.backend) or self.include_mocks,
        )

    def part(self, wanted: JobFilter, called: str = "cursor") -> Part:
        """Which part of the list of *wanted* is asked for. Raises `InvalidRequestError`.

        *called*: what the cursor is to whoever asks.
        """
        cursor = self.cursor
        ascending = self.sort is Order.ASC
        if cursor and self.offset:
            raise InvalidRequestError("offset: it is not for a list that goes on from a cursor")
        return Part(
            limit=min(self.limit, MAX_PAGE),
            offset=min(self.offset, FURTHEST),
            after=parse_list_cursor(cursor, wanted, ascending, called) if cursor else None,
            ascending=ascending,
            inputs=JobAsked(self.exclude_params).wants_params,
        )
