"""Every route of the site in one table; programs are answered before it, by `api.doors`."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, URLResolver, path
from django.views.generic import RedirectView

from vpnportal.web import concentrators, orders
from vpnportal.web.accounts import api_keys, invitations, profile, sign_in
from vpnportal.web.accounts import views as accounts_views
from vpnportal.web.tunnel import (
    apply,
    autosave,
    cancel,
    commands,
    history,
    hosted_subnets,
    peer_config,
    peer_probe,
    preshared_key,
    remote_subnets,
    review,
    state_box,
    status_section,
)
from vpnportal.web.tunnel import views as tunnel_views
from vpnportal.web.tunnel.translations import csv_views
from vpnportal.web.tunnel.translations import views as translations_views
from vpnportal.web.tunnel_list import bulk_actions
from vpnportal.web.tunnel_list import views as tunnel_list_views

ONE = "tunnels/<int:pk>/"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="tunnels")),
    path("sign-in/", sign_in.SignIn.as_view(), name="login"),
    path("sign-out/", LogoutView.as_view(http_method_names=["post"]), name="logout"),
    path("invitations/<str:token>/", invitations.invitation, name="invitation"),
    path("profile/", profile.profile, name="profile"),
    path("profile/password/", profile.ChangePassword.as_view(), name="password"),
    path("accounts/", accounts_views.accounts, name="accounts"),
    path("accounts/<int:pk>/invite/", accounts_views.invite, name="invite"),
    path(
        "accounts/<int:pk>/invitations/<int:invitation>/withdraw/",
        accounts_views.revoke_invitation,
        name="withdraw",
    ),
    path("accounts/<int:pk>/members/<int:member>/role/", accounts_views.role, name="member-role"),
    path(
        "accounts/<int:pk>/members/<int:member>/remove/",
        accounts_views.remove,
        name="member-remove",
    ),
    path("accounts/<int:pk>/keys/", api_keys.create, name="create-api-key"),
    path("accounts/<int:pk>/keys/<int:key>/revoke/", api_keys.revoke, name="revoke-api-key"),
    path("tunnels/", tunnel_list_views.tunnels, name="tunnels"),
    path("tunnels/news/", tunnel_list_views.poll_list, name="news"),
    path("tunnels/several/", bulk_actions.bulk_action, name="several"),
    path("tunnels/order/", orders.order, name="order"),
    path(ONE, tunnel_views.tunnel, name="tunnel"),
    path(f"{ONE}edit/", autosave.autosave, name="edit"),
    path(f"{ONE}remote-subnets/", remote_subnets.add_remote_subnet, name="add-remote-subnet"),
    path(
        f"{ONE}remote-subnets/<int:subnet>/remove/",
        remote_subnets.remove_remote_subnet,
        name="remove-remote-subnet",
    ),
    path(f"{ONE}subnets/attach/", hosted_subnets.attach, name="attach-subnet"),
    path(f"{ONE}subnets/<int:subnet>/detach/", hosted_subnets.detach, name="detach-subnet"),
    path(f"{ONE}key/", preshared_key.key, name="key"),
    path(f"{ONE}key/generate/", preshared_key.generate, name="generate-key"),
    path(f"{ONE}key/reveal/", preshared_key.reveal, name="reveal-key"),
    path(f"{ONE}subnets/", translations_views.look, name="look"),
    path(f"{ONE}subnets/<int:subnet>/", translations_views.expand_subnet, name="subnet"),
    path(f"{ONE}translations/", translations_views.translations, name="translations"),
    path(f"{ONE}translations.csv", csv_views.export, name="export-translations"),
    path(f"{ONE}translations/preview/", csv_views.preview_import, name="preview-translations"),
    path(f"{ONE}translations/import/", csv_views.import_rows, name="import-translations"),
    path(f"{ONE}translations/standing/", translations_views.row_statuses, name="standing"),
    path(f"{ONE}ask/", peer_probe.ask, name="ask"),
    path(f"{ONE}answer/", peer_probe.answer, name="answer"),
    path(f"{ONE}answer/fill-in/", peer_probe.fill_in, name="fill-in"),
    path(f"{ONE}discard/", review.discard, name="discard"),
    path(f"{ONE}put-back/", review.revert, name="put-back"),
    path(f"{ONE}undo/", review.undo, name="undo"),
    path(f"{ONE}history/", history.history, name="history"),
    path(f"{ONE}history/<int:number>/", history.revision, name="revision"),
    path(f"{ONE}history/<int:number>/restore/", history.restore, name="restore"),
    path(f"{ONE}apply/", apply.apply, name="apply"),
    path(f"{ONE}command/", commands.command, name="command"),
    path(f"{ONE}state/", state_box.state, name="state"),
    path(f"{ONE}cancel/", cancel.cancel, name="cancel"),
    path(f"{ONE}status/", status_section.status, name="status"),
    path("operators/", admin.site.urls),
    path(f"{ONE}other-end/", peer_config.all_exports, name="other-end"),
    path(f"{ONE}other-end/<slug:slug>/", peer_config.download, name="other-end-file"),
    path(f"{ONE}hand-over/", peer_config.hand_over, name="hand-over"),
    path("concentrators/", concentrators.concentrators, name="concentrators"),
]
