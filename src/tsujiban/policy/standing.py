"""Puts normal forms into force and out of it: one place that knows what each kind of policy leaves behind.

The graph says which form takes whose place; here the form is filed by id, its selector enters the
index, its sets are held, its program is published, and the endpoints that it concerns are named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from tsujiban.policy import order
from tsujiban.policy.compile import Form
from tsujiban.policy.definitions import (
    AuthorizationForm,
    NetworkPolicyForm,
    PeerAuthenticationForm,
    ProfileForm,
    RequestAuthenticationForm,
)
from tsujiban.policy.evaluate import judges_workloads
from tsujiban.policy.heldsets import HeldSets
from tsujiban.policy.index import LabelIndex
from tsujiban.policy.inforce import InForce, Selecting, Selector
from tsujiban.policy.journal import Table
from tsujiban.policy.profiles import default_profile
from tsujiban.policy.program import AuthzProgram, PolicyProgram
from tsujiban.policy.tables import put
from tsujiban.resources.kinds import calico
from tsujiban.resources.kinds.meta import Object

SelectingForm = NetworkPolicyForm | AuthorizationForm | PeerAuthenticationForm | RequestAuthenticationForm
"""The forms that select endpoints; a profile is named by them instead."""


class Standing:
    """The forms in force and what they publish: `programs` (of policies, profiles) and `authorizations`.

    `note` is told of each program that changed, `touch` of each item whose endpoint may have.
    """

    def __init__(
        self,
        in_force: InForce,
        index: LabelIndex[Selector],
        held: HeldSets,
        note: Callable[[Table, str], None],
        touch: Callable[[int], None],
    ) -> None:
        self._in_force, self._index, self._held = in_force, index, held
        self._note, self._touch_item = note, touch
        self._profile_users: Counter[str] = Counter()
        self.programs: dict[str, PolicyProgram] = {}
        self.authorizations: dict[str, AuthzProgram] = {}

    def use_profile(self, name: str, by: int) -> None:
        """So many endpoints more (or, negative, less) name a profile. Its program exists while one does."""
        self._profile_users[name] += by
        self._refresh_profile(name)

    def change_tier(self, name: str, tier: Object | None) -> None:
        """A tier came, changed, or went; a built-in one that went is as it was built in."""
        form = order.compile_tier(tier) if isinstance(tier, calico.Tier) else order.BUILT_IN.get(name)
        if form == self._in_force.tiers.get(name):
            return
        put(self._in_force.tiers, name, form)
        for policy in self._in_force.policies.values():
            if policy.tier == name:
                self._touch(Selecting.POLICY, policy.program.id)

    def replace(self, old: Form | None, new: Form | None) -> None:
        """Put one form in the place of another. New sets are taken before old ones are let go,
        so that what both need is not computed again."""
        if isinstance(new, NetworkPolicyForm | ProfileForm):
            for name, definition in new.sets.items():
                self._held.acquire(name, definition)
        if not self._update_in_place(old, new):
            if old is not None:
                self._detach(old)
            if new is not None:
                self._attach(new)
        if isinstance(old, NetworkPolicyForm | ProfileForm):
            for name in old.sets:
                self._held.release(name)

    def _update_in_place(self, old: Form | None, new: Form | None) -> bool:
        """A policy whose rules alone changed keeps its endpoints' programs as they are."""
        match old, new:
            case NetworkPolicyForm(), NetworkPolicyForm():
                if _shape(old) != _shape(new):
                    return False
                self._in_force.policies[new.program.id] = new
                self._set_program(new.program.id, new.program)
                return True
            case AuthorizationForm(), AuthorizationForm():
                same = old.selector is new.selector and old.program.id == new.program.id
                if not same or old.program.action is not new.program.action:
                    return False
                self._in_force.authorizations[new.program.id] = new
                self.authorizations[new.program.id] = new.program
                self._note(Table.AUTHORIZATIONS, new.program.id)
                return True
        return False

    def _attach(self, form: Form) -> None:
        match form:
            case NetworkPolicyForm():
                self._in_force.policies[form.program.id] = form
                self._set_program(form.program.id, form.program)
            case ProfileForm():
                self._in_force.profiles[form.program.id] = form
                self._refresh_profile(form.program.id)
                return
            case AuthorizationForm():
                name = form.program.id
                self._in_force.authorizations[name] = form
                self.authorizations[name] = form.program
                self._note(Table.AUTHORIZATIONS, name)
            case PeerAuthenticationForm():
                self._in_force.authentications[form.id] = form
            case RequestAuthenticationForm():
                self._in_force.tokens[form.id] = form
        for item in self._index.add_selector(selector_of(form), form.selector.node):
            self._touch_item(item)

    def _detach(self, form: Form) -> None:
        if not isinstance(form, ProfileForm):
            for item in self._index.remove_selector(selector_of(form)):
                self._touch_item(item)
        match form:
            case NetworkPolicyForm():
                del self._in_force.policies[form.program.id]
                self._set_program(form.program.id, None)
            case ProfileForm():
                del self._in_force.profiles[form.program.id]
                self._refresh_profile(form.program.id)
            case AuthorizationForm():
                name = form.program.id
                del self._in_force.authorizations[name], self.authorizations[name]
                self._note(Table.AUTHORIZATIONS, name)
            case PeerAuthenticationForm():
                del self._in_force.authentications[form.id]
            case RequestAuthenticationForm():
                del self._in_force.tokens[form.id]

    def _touch(self, what: Selecting, name: str) -> None:
        for item in self._index.matched((what, name)):
            self._touch_item(item)

    def _set_program(self, name: str, program: PolicyProgram | None) -> None:
        if self.programs.get(name) != program:
            put(self.programs, name, program)
            self._note(Table.POLICIES, name)

    def _refresh_profile(self, name: str) -> None:
        """A profile's program exists while an endpoint names it."""
        form = self._in_force.profiles.get(name)
        program = None
        if self._profile_users[name]:
            program = form.program if form is not None else default_profile(name)
        self._set_program(name, program)


def selector_of(form: SelectingForm) -> Selector:
    """The name that a form's selector has in the index."""
    match form:
        case NetworkPolicyForm():
            return Selecting.POLICY, form.program.id
        case AuthorizationForm():
            return Selecting.AUTHORIZATION, form.program.id
        case PeerAuthenticationForm():
            return Selecting.PEER_AUTHENTICATION, form.id
        case RequestAuthenticationForm():
            return Selecting.REQUEST_AUTHENTICATION, form.id


def _shape(form: NetworkPolicyForm) -> tuple[object, ...]:
    """What of a policy its endpoints' programs depend on."""
    return (
        form.program.id,
        form.tier,
        form.order,
        form.tie,
        form.selector.canonical,
        form.directions,
        judges_workloads(form.program),
    )
