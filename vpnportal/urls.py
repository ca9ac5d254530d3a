"""All routes of the pages. `api.middleware` answers API requests before this table is read."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, path
from django.views.generic import RedirectView

from vpnportal.web import concentrators, gateway_enrolment, held_tunnels, orders, security_txt
from vpnportal.web.accounts import api_keys, invitations
from vpnportal.web.accounts import views as accounts_views
from vpnportal.web.accounts.routes import ROUTES
from vpnportal.web.tunnel import (
    apply,
    autosave,
    cancel,
    commands,
    history,
    hosted_subnets,
    key_rotation,
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

handler500 = "vpnportal.web.errors.server_error"

TUNNEL = "tunnels/<int:pk>/"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="tunnels")),
    *ROUTES,
    path(".well-known/security.txt", security_txt.security_txt, name="security-txt"),
    path("gateway/join", gateway_enrolment.join, name="gateway-join"),
    path("gateway/renew", gateway_enrolment.renew, name="gateway-renew"),
    path("invitations/<str:token>/", invitations.invitation, name="invitation"),
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
    path(TUNNEL, tunnel_views.tunnel, name="tunnel"),
    path(f"{TUNNEL}edit/", autosave.autosave, name="edit"),
    path(f"{TUNNEL}remote-subnets/", remote_subnets.add_remote_subnet, name="add-remote-subnet"),
    path(
        f"{TUNNEL}remote-subnets/<int:subnet>/remove/",
        remote_subnets.remove_remote_subnet,
        name="remove-remote-subnet",
    ),
    path(f"{TUNNEL}subnets/attach/", hosted_subnets.attach, name="attach-subnet"),
    path(f"{TUNNEL}subnets/<int:subnet>/detach/", hosted_subnets.detach, name="detach-subnet"),
    path(f"{TUNNEL}key/", preshared_key.key, name="key"),
    path(f"{TUNNEL}key/generate/", preshared_key.generate, name="generate-key"),
    path(f"{TUNNEL}key/reveal/", preshared_key.reveal, name="reveal-key"),
    path(f"{TUNNEL}key/rotation/begin/", key_rotation.begin, name="begin-rotation"),
    path(f"{TUNNEL}key/rotation/end/", key_rotation.end, name="end-rotation"),
    path(f"{TUNNEL}key/rotation/cancel/", key_rotation.cancel, name="cancel-rotation"),
    path(f"{TUNNEL}subnets/", translations_views.look, name="look"),
    path(f"{TUNNEL}subnets/<int:subnet>/", translations_views.expand_subnet, name="subnet"),
    path(f"{TUNNEL}translations/", translations_views.translations, name="translations"),
    path(f"{TUNNEL}translations.csv", csv_views.export, name="export-translations"),
    path(f"{TUNNEL}translations/preview/", csv_views.preview_import, name="preview-translations"),
    path(f"{TUNNEL}translations/import/", csv_views.import_rows, name="import-translations"),
    path(
        f"{TUNNEL}translations/imports/<int:number>/",
        csv_views.import_progress,
        name="import-progress",
    ),
    path(f"{TUNNEL}translations/standing/", translations_views.row_statuses, name="standing"),
    path(f"{TUNNEL}ask/", peer_probe.ask, name="ask"),
    path(f"{TUNNEL}answer/", peer_probe.answer, name="answer"),
    path(f"{TUNNEL}answer/fill-in/", peer_probe.fill_in, name="fill-in"),
    path(f"{TUNNEL}discard/", review.discard, name="discard"),
    path(f"{TUNNEL}put-back/", review.revert, name="put-back"),
    path(f"{TUNNEL}undo/", review.undo, name="undo"),
    path(f"{TUNNEL}history/", history.history, name="history"),
    path(f"{TUNNEL}history/<int:number>/", history.revision, name="revision"),
    path(f"{TUNNEL}history/<int:number>/restore/", history.restore, name="restore"),
    path(f"{TUNNEL}apply/", apply.apply, name="apply"),
    path(f"{TUNNEL}command/", commands.command, name="command"),
    path(f"{TUNNEL}state/", state_box.state, name="state"),
    path(f"{TUNNEL}cancel/", cancel.cancel, name="cancel"),
    path(f"{TUNNEL}status/", status_section.status, name="status"),
    path("operators/", admin.site.urls),
    path(f"{TUNNEL}other-end/", peer_config.all_exports, name="other-end"),
    path(f"{TUNNEL}other-end/<slug:slug>/", peer_config.download, name="other-end-file"),
    path(f"{TUNNEL}hand-over/", peer_config.hand_over, name="hand-over"),
    path("concentrators/", concentrators.concentrators, name="concentrators"),
    path("concentrators/held/<str:side>/", held_tunnels.choose, name="held"),
]
