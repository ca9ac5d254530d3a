"""Every route of the site in one table."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, URLResolver, path
from django.views.generic import RedirectView

from vpnportal.web import (
    accounts,
    asking,
    attached,
    cancelling,
    commands,
    editing,
    history,
    invitations,
    keys,
    operators,
    ordering,
    other_end,
    profile,
    review,
    sessions,
    several,
    subnets,
    table_files,
    translations,
    tunnels,
    views,
)

ONE = "tunnels/<int:pk>/"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="tunnels")),
    path("sign-in/", sessions.SignIn.as_view(), name="login"),
    path("sign-out/", LogoutView.as_view(http_method_names=["post"]), name="logout"),
    path("invitations/<str:token>/", invitations.invitation, name="invitation"),
    path("profile/", profile.profile, name="profile"),
    path("profile/password/", profile.ChangePassword.as_view(), name="password"),
    path("accounts/", accounts.accounts, name="accounts"),
    path("accounts/<int:pk>/invite/", accounts.invite, name="invite"),
    path(
        "accounts/<int:pk>/invitations/<int:invitation>/withdraw/",
        accounts.withdraw,
        name="withdraw",
    ),
    path("accounts/<int:pk>/members/<int:member>/role/", accounts.role, name="member-role"),
    path("accounts/<int:pk>/members/<int:member>/remove/", accounts.remove, name="member-remove"),
    path("tunnels/", tunnels.tunnels, name="tunnels"),
    path("tunnels/news/", tunnels.news, name="news"),
    path("tunnels/several/", several.several, name="several"),
    path("tunnels/order/", ordering.order, name="order"),
    path(ONE, views.tunnel, name="tunnel"),
    path(f"{ONE}edit/", editing.edit, name="edit"),
    path(f"{ONE}remote-subnets/", subnets.add_remote_subnet, name="add-remote-subnet"),
    path(
        f"{ONE}remote-subnets/<int:subnet>/remove/",
        subnets.remove_remote_subnet,
        name="remove-remote-subnet",
    ),
    path(f"{ONE}subnets/attach/", attached.attach, name="attach-subnet"),
    path(f"{ONE}subnets/<int:subnet>/detach/", attached.detach, name="detach-subnet"),
    path(f"{ONE}key/", keys.key, name="key"),
    path(f"{ONE}key/generate/", keys.generate, name="generate-key"),
    path(f"{ONE}key/reveal/", keys.reveal, name="reveal-key"),
    path(f"{ONE}subnets/", translations.look, name="look"),
    path(f"{ONE}subnets/<int:subnet>/", translations.subnet, name="subnet"),
    path(f"{ONE}translations/", translations.translations, name="translations"),
    path(f"{ONE}translations.csv", table_files.export, name="export-translations"),
    path(f"{ONE}translations/preview/", table_files.preview_import, name="preview-translations"),
    path(f"{ONE}translations/import/", table_files.import_rows, name="import-translations"),
    path(f"{ONE}translations/standing/", translations.standing, name="standing"),
    path(f"{ONE}ask/", asking.ask, name="ask"),
    path(f"{ONE}answer/", asking.answer, name="answer"),
    path(f"{ONE}answer/fill-in/", asking.fill_in, name="fill-in"),
    path(f"{ONE}discard/", review.discard, name="discard"),
    path(f"{ONE}put-back/", review.put_back, name="put-back"),
    path(f"{ONE}undo/", review.undo, name="undo"),
    path(f"{ONE}history/", history.history, name="history"),
    path(f"{ONE}history/<int:number>/", history.revision, name="revision"),
    path(f"{ONE}history/<int:number>/restore/", history.restore, name="restore"),
    path(f"{ONE}apply/", views.apply, name="apply"),
    path(f"{ONE}command/", commands.command, name="command"),
    path(f"{ONE}state/", views.state, name="state"),
    path(f"{ONE}cancel/", cancelling.cancel, name="cancel"),
    path("operators/", admin.site.urls),
    path(f"{ONE}other-end/", other_end.everything, name="other-end"),
    path(f"{ONE}other-end/<slug:slug>/", other_end.download, name="other-end-file"),
    path(f"{ONE}hand-over/", other_end.hand_over, name="hand-over"),
    path("concentrators/", operators.concentrators, name="concentrators"),
]
