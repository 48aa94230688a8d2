from __future__ import annotations

import pytest

from apimetry.middleware.route_templates import (
    bottle_template,
    brace_template,
    django_template,
    fits,
    pyramid_template,
    werkzeug_template,
)


@pytest.mark.parametrize(
    ("rule", "template"),
    [
        ("/v1/scores/<int:identity>", "/v1/scores/{identity}"),
        ("/<a>/<string(length=2):b>", "/{a}/{b}"),
        ("/files/<path:name>", "/files/{name}"),
        ("/<any(about, 'imprint'):page>", "/{page}"),
        ('/<regex("[a-z]{2}(x|y)"):code>/x', "/{code}/x"),
        (r"""/<regex('(\d+(\.\d+)?)|(>)'):price>""", "/{price}"),
        ('/<regex("a:b>\\")"):c>-<int(min=1, max=9):d>', "/{c}-{d}"),
        ("/<float(signed=True):x>,<float(signed=True):y>", "/{x},{y}"),
        ("/plain", "/plain"),
        ("/odd<", "/odd<"),
    ],
)
def test_werkzeug_rule_in_one_spelling(rule, template):
    assert werkzeug_template(rule) == template


@pytest.mark.parametrize(
    ("route", "template"),
    [
        ("v1/scores/<int:identity>", "/v1/scores/{identity}"),
        ("", "/"),
        ("^$", "/"),
        (r"^v1/(?P<identity>\d+)/$", "/v1/{identity}/"),
        (r"api/^v1/(\d+)/(?P<rest>(?:a|b)+)$", "/api/v1/{0}/{rest}"),
        (r"^a\.json\Z", "/a.json"),
        # an optional slash, as REST framework's routers with trailing_slash="/?" have it
        ("^scores/?$", "/scores"),
        (r"api/^scores/(?P<pk>[^/.]+)/?$", "/api/scores/{pk}"),
        (r"^scores/(?P<pk>[^/.]+)/publish/?$", "/scores/{pk}/publish"),
        (r"^scores\.(?P<format>[a-z0-9]+)/?$", "/scores.{format}"),
        ("stream/?", "/stream"),
        (r"^scores(?:\.json)?$", "/scores"),
        (r"^scores(/)?$", "/scores"),
        # nested groups
        (r"^(?P<version>(v1|v2))/(?P<pk>((a|b)(c))+)/$", "/{version}/{pk}/"),
        (r"^comments/(?:page-(?P<number>[0-9]+)/)?$", "/comments/page-{number}/"),
        (r"^blog/(page-([0-9]+)/)?$", "/blog/{0}"),
        (r"^(?:en|de)/x/(?:(?P<a>\d+)/(?P<b>\d+)/)+$", "/{0}/x/{a}/{b}/"),
        (r"^a/(?P<x>[()]+)/(?P<y>\)+)/$", "/a/{x}/{y}/"),
        (r"^a/(?P<x>[^]/]+)/b$", "/a/{x}/b"),
        # patterns outside groups
        (r"^items/\d+/edit$", "/items/{0}/edit"),
        (r"^items/[a-z][a-z0-9_-]*/(\d{2,3})$", "/items/{0}/{1}"),
        (r"^files/.*$", "/files/{0}"),
        (r"^files/.+\.txt$", "/files/{0}.txt"),
        (r"^colou?r/a{1,2}b/$", "/color/ab/"),
        (r"(?i)^Items/(?!new)(?P<x>\w+)/(?=$)", "/Items/{x}/"),
        (r"^a\/b\-c\_d/$", "/a/b-c_d/"),
        (r"items/(\d+)/", "/items/{0}/"),
        # no regular expression
        ("files/v1.2/<path:name>.json", "/files/v1.2/{name}.json"),
        ("odata/Users(<int:pk>)", "/odata/Users({pk})"),
        ("c++/<slug:name>", "/c++/{name}"),
        ("<drf_format_suffix:format>", "/{format}"),
        # broken ones end, too
        (r"^a/(?P<x>\d+", "/a/{x}"),
        ("^a/[b", "/a/{0}"),
    ],
)
def test_django_route_in_one_spelling(route, template):
    assert django_template(route) == template


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v1/{identity:int}", "/v1/{identity}"),
        (r"/v1/{code:\d{2,3}}/x", "/v1/{code}/x"),
        (r"/v1/{code:([a-z]{2}|\}){1,3}}-{b}", "/v1/{code}-{b}"),
        ('/at/{when:dt("%Y-%m-%dT%H:%M")}', "/at/{when}"),
        ("/{ a : int }", "/{a}"),
        ("/odd{", "/odd{"),
    ],
)
def test_braces_keep_the_name_alone(path, template):
    assert brace_template(path) == template


@pytest.mark.parametrize(
    ("rule", "template"),
    [
        ("/v1/<identity:int>", "/v1/{identity}"),
        (r"/v1/<code:re:[a-z]{2}(x|y)\>+>", "/v1/{code}"),
        ("/<:re:[0-9]+>/<b>", "/{0}/{b}"),
        ("/old/:name/x", "/old/{name}/x"),
        ("/old/:name#[0-9]+#/x", "/old/{name}/x"),
    ],
)
def test_bottle_rule_in_one_spelling(rule, template):
    assert bottle_template(rule) == template


@pytest.mark.parametrize(
    ("pattern", "template"),
    [
        (r"/v1/{identity:\d{1,3}}/*rest", "/v1/{identity}/{rest}"),
        ("v1/{rest:.*}", "/v1/{rest}"),
        ("/old/:name/x", "/old/{name}/x"),
    ],
)
def test_pyramid_pattern_in_one_spelling(pattern, template):
    assert pyramid_template(pattern) == template


@pytest.mark.parametrize(
    ("template", "path", "spans", "fitting"),
    [
        ("/a/{b}", "/a/x", False, True),
        ("/a/{b}", "/a/", False, False),
        ("/a/{b}", "/a/x/y", False, False),
        ("/a/{b}", "/a/x/y", True, True),
        ("/a/{b}-{c}.json", "/a/x-y-z.json", False, True),
        ("/a/{b}-{c}", "/a/-", False, False),
        ("/a/{b}{c}", "/a/x", False, False),
        ("/a/{b}{c}", "/a/xy", False, True),
        ("/{p}/x/{q}", "/1/2/x/3", True, True),
        ("/a", "/a", False, True),
        ("/a", "/b", True, False),
    ],
)
def test_path_fits_a_template_whose_parameters_have_a_character_at_least(template, path, spans, fitting):
    assert fits(template, path, spans=spans) is fitting
