use proptest::prelude::*;
use serde_json::json;

use super::*;

fn event() -> Value {
    json!({
        "event_id": "e1", "model": "sale.order", "event_type": "write", "record_ids": [7, 8], "user_id": null,
        "timestamp": "2026-11-23T10:15:00Z",
        "records": [{
            "id": 7, "name": "He said \"hi\"\n\\back\\ 🎉 é \u{2028} </script> \t {{ x }} <!channel>",
            "amount": 120.5, "done": false, "empty": null, "gone": {}, "in": "keyword", "big": 18_446_744_073_709_551_615_u64,
            "partner_id": {"id": 3, "email": "a@b.c"},
            "lines": [{"name": "Tea", "tags": ["x", "y"]}, {"name": "Cup", "tags": []}],
        }, {"id": 8}],
    })
}

#[track_caller]
fn renders(template: Value, expected: Value) {
    let text =
        Template::compile(&template, Dialect::Plain, None).unwrap().render(&event(), Effort::Full).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected, "{text}");
}

#[track_caller]
fn refused(template: Value, pointer: &str, because: &str) {
    let error = Template::compile(&template, Dialect::Plain, None).expect_err(because);
    assert_eq!((error.kind, error.pointer.as_deref()), (InvalidKind::Template, Some(pointer)));
    assert!(error.message.contains(because), "{error}");
}

#[test]
fn a_string_stays_a_string_and_its_value_cannot_break_out() {
    let name = event()["records"][0]["name"].clone();
    renders(json!({"text": "{{ record.name }}"}), json!({"text": name}));
    renders(json!("Order {{ record.id }}"), json!("Order 7"));
    renders(json!("{{ record.amount }}"), json!("120.5"));
    renders(json!({"a": 1, "b": [true, null, "plain"]}), json!({"a": 1, "b": [true, null, "plain"]}));
}

#[test]
fn one_expression_ending_in_json_becomes_the_value() {
    renders(json!("{{ record.amount | json }}"), json!(120.5));
    renders(json!("{{ record.done|json }}"), json!(false));
    renders(json!("{{ record_ids | json }}"), json!([7, 8]));
    renders(json!("{{ record.partner_id | json }}"), json!({"id": 3, "email": "a@b.c"}));
    renders(json!("{{ record.nowhere.at.all | json }}"), Value::Null);
    renders(json!("x{{ record_ids | json }}"), json!("x[7,8]"));
    renders(json!("{{ record.id | json }}{{ record.id | json }}"), json!("77"));
    renders(json!("{{ \"}}\" | json }}"), json!("}}"));
}

#[test]
fn a_path_that_leads_nowhere_is_empty() {
    for path in [
        "record.nope",
        "record.empty.x",
        "record.done.x",
        "record.name.x.y",
        "record.gone.x",
        "records.9.id",
        "user_id",
        "record?.nope?.x",
        "record.lines.nope",
    ] {
        renders(json!(format!("[{{{{ {path} }}}}]")), json!("[]"));
    }
    renders(json!("{{ record.in }}"), json!("keyword"));
    renders(json!("{{ record.lines.1.name }}"), json!("Cup"));
    renders(
        json!("{{ record.big }} {{ record.big | json }}"),
        json!("18446744073709551615 \"18446744073709551615\""),
    );
    renders(
        json!("{% for l in record.nope %}x{% endfor %}{% for k, v in record.nope %}x{% endfor %}"),
        json!(""),
    );
}

#[test]
fn blocks_and_filters_work() {
    renders(
        json!("{% for l in record.lines %}• {{ l.name }}{% if not loop.last %}, {% endif %}{% endfor %}"),
        json!("• Tea, • Cup"),
    );
    renders(
        json!("{% for l in record.lines %}{% for t in l.tags %}{{ t }}{% endfor %};{% endfor %}"),
        json!("xy;;"),
    );
    renders(json!("{% if record.done %}a{% else if eq(record.id, 7) %}b{% else %}c{% endif %}"), json!("b"));
    renders(json!("{% with record.partner_id as p %}{{ p.email | upper }}{% endwith %}"), json!("A@B.C"));
    renders(json!("{{ record.nope | default: \"none\" | upper }}"), json!("NONE"));
    renders(json!("{{ record_ids | join: \", \" }} {{ records | length }}"), json!("7, 8 2"));
    renders(
        json!("{{ record.name | truncate: 5 }}|{{ record.amount | round: 2 }}|{{ timestamp | date }}"),
        json!("He s…|120.50|2026-11-23"),
    );
    renders(json!("{% if record.amount | gt: 100 %}big{% endif %}"), json!("big"));
    renders(json!("{# note #}{{- record.id -}} !"), json!("7 !"));
    renders(
        json!("{% for k, v in record.partner_id %}{{ k }}={{ v }};{% endfor %}"),
        json!("email=a@b.c;id=3;"),
    );
}

#[test]
fn keys_are_literal_and_keep_their_order() {
    let template = serde_json::from_str::<Value>(r#"{"z":"{{ model }}","a":1,"{{ k }}":"x"}"#).unwrap();
    let text =
        Template::compile(&template, Dialect::Plain, None).unwrap().render(&event(), Effort::Full).unwrap();
    assert_eq!(text, r#"{"z":"sale.order","a":1,"{{ k }}":"x"}"#);
}

#[test]
fn faults_are_found_at_save_with_their_place() {
    refused(json!({"blocks": [{"text": "{{ recrod.name }}"}]}), "/blocks/0/text", "names recrod");
    refused(json!({"a/b": {"~": "{{ record.name | shout }}"}}), "/a~1b/~0", "calls shout");
    refused(json!("{{ record.name"), "", "not closed");
    refused(json!("a }} b"), "", "without an opening mark");
    refused(json!("{% if record %}x"), "", "has no {% endif %}");
    refused(json!("{% endfor %}"), "", "closes no for");
    refused(json!("{% else %}"), "", "belongs to no if");
    refused(json!("{% include \"x\" %}"), "", "includes");
    refused(json!("{{ env.HOME }}"), "", "names env");
    refused(json!("{{ secret }}"), "", "names secret");
    refused(json!("{{ at(record, \"x\") }}"), "", "calls at");
    refused(json!("{{ record | json | upper }}"), "", "comes last");
    refused(json!("{{ record.name | replace: \"a\" }}"), "", "takes 3");
    refused(json!("{{ 'x' }}"), "", "means nothing");
    refused(json!("{{ }}"), "", "ends too early");
    refused(
        json!(
            "{% for a in records %}{% for b in records %}{% for c in records %}{% endfor %}{% endfor %}{% endfor %}"
        ),
        "",
        "more than 2 deep",
    );
    refused(json!("x".repeat(70_000)), "", "are allowed");
}

#[test]
fn deep_templates_are_refused_and_do_not_overflow_the_stack() {
    for template in [
        "{% if record %}".repeat(3_000),
        format!("{{{{ {}record{} }}}}", "(".repeat(20_000), ")".repeat(20_000)),
        format!("{{{{ {}record{} }}}}", "[".repeat(20_000), "]".repeat(20_000)),
        format!("{{{{ record{} }}}}", " | upper".repeat(7_000)),
        format!("{{% if record %}}{}{{% endif %}}", "{% else if record %}".repeat(3_000)),
    ] {
        assert!(Template::compile(&json!(template), Dialect::Plain, None).is_err());
    }
    let mut nested = json!("x");
    for _ in 0..200 {
        nested = json!([nested]);
    }
    assert!(Template::compile(&nested, Dialect::Plain, None).is_err());
}

#[test]
fn output_and_work_are_bounded() {
    let large =
        json!({"records": [{"text": "x".repeat(100_000), "list": vec![0; 100_000]}], "record_ids": []});
    #[track_caller]
    fn fails(template: &str, event: &Value, failure: Failure) {
        let error = Template::compile(&json!({"t": template}), Dialect::Plain, None)
            .unwrap()
            .render(event, Effort::Full)
            .unwrap_err();
        assert_eq!(error.failure, failure, "{error}");
        assert!(!error.to_string().contains("xxx"));
    }
    fails(&"{{ record.text }}".repeat(3), &large, Failure::PayloadTooLarge);
    fails(
        "{% for a in record.list %}{% for b in record.list %}{% endfor %}{% endfor %}",
        &large,
        Failure::Render,
    );
    fails(&"{{ record.list | length }}".repeat(100), &large, Failure::Render);
}

/// Each of these took seconds to days, or gigabytes, where the work between two copies was not counted.
#[test]
fn nothing_multiplies() {
    let x = |n: usize| "x".repeat(n);
    let loops = |inside: &str| {
        format!("{{% for a in record_ids %}}{{% for b in record_ids %}}{inside}{{% endfor %}}{{% endfor %}}")
    };
    let with = |value: &str, inside: &str| format!("{{% with {value} as t %}}{inside}{{% endwith %}}");
    let list = |item: &str, n: usize| format!("[{}]", vec![item; n].join(", "));
    for (what, template) in [
        ("replace", format!("{{{{ \"{}\" | replace: \"x\", \"{}\" | length }}}}", x(30_000), x(30_000))),
        ("join", format!("{{{{ record_ids | join: \"{}\" | length }}}}", x(60_000))),
        ("lists in lists", with(&list("timestamp", 3000), &with(&list("t", 3000), "{{ t | length }}"))),
        (
            "filters in loops",
            with(
                &format!("\"{}\"", x(30_000)),
                &loops(&"{% if t | upper | lower | trim %}{% endif %}".repeat(200)),
            ),
        ),
        ("conditions in loops", loops(&"{% if a %}{% endif %}".repeat(2500))),
        ("bindings in loops", loops(&"{% with record as r %}{% endwith %}".repeat(1500))),
        ("nothing in loops", loops(&"{{ record.nope }}".repeat(3000))),
        ("comments in loops", loops(&"{{ user_id }}{# #}".repeat(3000))),
        ("comparisons in loops", loops(&"{% if records | eq: records %}{% endif %}".repeat(1000))),
        (
            "a loop variable, copied by each mention",
            "{% for r in records %}".to_owned() + &"{% if r %}{% endif %}".repeat(2500) + "{% endfor %}",
        ),
        (
            "a field of it",
            "{% for r in records %}".to_owned() + &"{{ r.nope }}".repeat(4500) + "{% endfor %}",
        ),
    ] {
        let rows: Vec<Value> = (0..5000).map(|n| json!({"n": n, "k": "v"})).collect();
        let event = json!({"record_ids": (0..2000).collect::<Vec<_>>(), "timestamp": x(1000), "records": [{"rows": rows}]});
        let template = Template::compile(&json!(template), Dialect::Slack, None)
            .unwrap_or_else(|e| panic!("{what}: {e}"));
        let error = template.render(&event, Effort::Full).expect_err(what);
        assert_eq!(error.failure, Failure::Render, "{what}: {error}");
        assert!(
            !error.is_unfinished && template.render(&event, Effort::Prompt).unwrap_err().is_unfinished,
            "{what}"
        );
    }
}

#[test]
fn the_dialect_escapes_values_and_raw_opts_out() {
    let event = json!({"records": [{"name": "<!channel> [x](y)"}]});
    #[track_caller]
    fn check(template: &str, dialect: Dialect, host: Option<&str>, event: &Value, expected: Value) {
        let text =
            Template::compile(&json!(template), dialect, host).unwrap().render(event, Effort::Full).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }
    let slack = Some("hooks.slack.com");
    check(
        "<b> {{ record.name }}",
        Dialect::Auto,
        slack,
        &event,
        json!("<b> &lt;!channel&gt; [x]\u{200b}(y)"),
    );
    check("{{ record.name | raw }}", Dialect::Auto, slack, &event, json!("<!channel> [x](y)"));
    check("{{ record.name | json }}", Dialect::Auto, slack, &event, json!("&lt;!channel&gt; [x]\u{200b}(y)"));
    check("{{ record.name }}", Dialect::Plain, slack, &event, json!("<!channel> [x](y)"));
    check("{{ record.name }}", Dialect::Discord, None, &event, json!("\\<!channel\\> \\[x\\]\\(y\\)"));
}

/// A value is escaped last, whatever was done to it before, and in whatever it stands.
#[test]
fn no_way_through_a_template_leads_around_the_dialect() {
    let event = json!({"records": [{"name": "<!CHANNEL>", "a": "<!", "b": "here>", "list": ["<!here>", "x"],
        "nested": {"deep": ["<!here>"]}, "key": "{{ record.name | raw }}", "mixed": "&lt;!here&gt;"}], "record_ids": []});
    for template in [
        "{{ record.name }}",
        "{{ record.name | lower }}",
        "{{ record.name | truncate: 5 }}",
        "{{ record.name | date }}",
        "{{ record.name | replace: \"CHANNEL\", \"here\" }}",
        "{{ record.nope | default: record.name }}",
        "{{ record.list }}",
        "{{ record.list | join: \"\" }}",
        "{{ record.list | join: record.name }}",
        "{{ record.list | first }}",
        "{{ [record.name, record.a] | last }}",
        "{{ [record.name] }}",
        "{{ record.a }}{{ record.b }}",
        "{{ record.nested }}",
        "{{ record.key }}",
        "{{ record.mixed }}",
        "{% for item in record.list %}{{ item }}{% endfor %}",
        "{% for item in record.list %}{{ item | upper }}{% endfor %}",
        "{% for key, value in record.nested %}{{ key }}{{ value }}{% endfor %}",
        "{% with record.name as raw %}{{ raw }}{% endwith %}",
        "{{ record | json }}",
        "x {{ record | json }}",
        "{{ record.name | json }}",
        "x{{ record.list | json }}",
    ] {
        for template in [json!(template), json!({"blocks": [{"text": [template]}]})] {
            let compiled = Template::compile(&template, Dialect::Slack, None).unwrap();
            let text = compiled.render(&event, Effort::Full).unwrap();
            assert!(!text.contains('<') && !text.contains('>'), "{template}: {text}");
            let discord = Template::compile(&template, Dialect::Discord, None).unwrap();
            let shown: Value = serde_json::from_str(&discord.render(&event, Effort::Full).unwrap()).unwrap();
            let shown = shown["blocks"][0]["text"][0].as_str().unwrap_or("\\<").replace("\\<", "");
            assert!(!shown.contains('<'), "{template}: {shown}");
        }
    }
}

proptest! {
    #[test]
    fn any_value_comes_through_as_it_is(name in "\\PC*", control in "[\u{0}-\u{1f}\"\\\\{}%#]*") {
        let name = format!("{name}{control}");
        let event = json!({"records": [{"name": name}]});
        let template = Template::compile(&json!(["a {{ record.name }} b", "{{ record.name | json }}"]), Dialect::Plain, None).unwrap();
        let text = template.render(&event, Effort::Full).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!([format!("a {name} b"), name]));
    }

    #[test]
    fn no_template_makes_it_panic(text in "(\\{\\{|\\}\\}|\\{%|%\\}|record|records|\\.|\\?|\\||:|,|\\(|\\)|\\[|\\]|\"|\\\\|if|for|in|x|endif|endfor|with|as|else|not|upper|join|json|raw|at|[0-9]|-| |é)*") {
        if let Ok(template) = Template::compile(&json!(text), Dialect::Slack, None) {
            let rendered = template.render(&event(), Effort::Full);
            if let Ok(rendered) = rendered {
                prop_assert!(serde_json::from_str::<Value>(&rendered).is_ok());
            }
        }
    }
}

#[test]
fn numbers_keep_their_digits() {
    let mut texts: Vec<String> = (1..2000).map(|minutes| (f64::from(minutes) / 60.0).to_string()).collect();
    texts.extend(
        ["0.11666666666666667", "5e-324", "1.7976931348623157e308", "9007199254740993", "0.1", "-0.0"]
            .map(str::to_owned),
    );
    for digits in texts {
        let event = format!(r#"{{"records":[{{"n":{digits}}}]}}"#);
        let event = webhook_model::json::parse(&event).unwrap();
        let number = event["records"][0]["n"].to_string();
        let template = json!({"value": "{{ record.n | json }}", "text": "{{ record.n }}"});
        let template = Template::compile(&template, Dialect::Plain, None).unwrap();
        let payload: Value = serde_json::from_str(&template.render(&event, Effort::Full).unwrap()).unwrap();
        assert_eq!(payload["value"].to_string(), number);
        assert_eq!(payload["text"].as_str().unwrap().parse::<f64>().unwrap(), digits.parse::<f64>().unwrap());
        if digits.starts_with('0') && digits.len() < 22 {
            assert_eq!((number, payload["text"].as_str().unwrap()), (digits.clone(), digits.as_str()));
        }
    }
}

#[test]
fn where_a_receiver_reads_no_markup_nothing_is_escaped() {
    let record = json!({"site": "https://x.example/my_page?a=1&b=(2)", "name": "R&D *team* <a>"});
    let event = json!({"records": [record]});
    let render = |dialect, template: &Value| {
        let template = Template::compile(template, dialect, None).unwrap();
        serde_json::from_str::<Value>(&template.render(&event, Effort::Full).unwrap()).unwrap()
    };
    let site = &event["records"][0]["site"];
    let places = [
        (Dialect::Discord, "/embeds/0/url"),
        (Dialect::Discord, "/embeds/0/author/icon_url"),
        (Dialect::Discord, "/embeds/0/thumbnail/url"),
        (Dialect::Discord, "/avatar_url"),
        (Dialect::Slack, "/blocks/0/elements/0/url"),
        (Dialect::Slack, "/attachments/0/title_link"),
        (Dialect::Slack, "/blocks/0/image_url"),
        (Dialect::Teams, "/attachments/0/content/actions/0/url"),
        (Dialect::Teams, "/sections/0/activityImage"),
        (Dialect::GoogleChat, "/cards/0/buttons/0/onClick/openLink/url"),
        (Dialect::GoogleChat, "/cards/0/imageUrl"),
    ];
    let at = |pointer: &str, value: &str| {
        pointer.split('/').skip(1).collect::<Vec<_>>().into_iter().rev().fold(json!(value), |inside, step| {
            match step.parse::<usize>() {
                Ok(_) => json!([inside]),
                Err(_) => json!({step: inside}),
            }
        })
    };
    for (dialect, pointer) in places {
        for value in ["{{ record.site }}", "{{ record.site | json }}"] {
            let rendered = render(dialect, &at(pointer, value));
            assert_eq!(rendered.pointer(pointer), Some(site), "{dialect:?} {pointer}");
        }
    }
    let name = &event["records"][0]["name"];
    for (dialect, pointer) in [
        (Dialect::Discord, "/embeds/0/author/name"),
        (Dialect::Discord, "/embeds/0/footer/text"),
        (Dialect::Discord, "/username"),
        (Dialect::Slack, "/username"),
    ] {
        assert_eq!(
            render(dialect, &at(pointer, "{{ record.name }}")).pointer(pointer),
            Some(name),
            "{pointer}"
        );
    }
    for (dialect, pointer) in [
        (Dialect::Discord, "/content"),
        (Dialect::Discord, "/embeds/0/description"),
        (Dialect::Slack, "/text"),
        (Dialect::Slack, "/blocks/0/text/text"),
        (Dialect::Teams, "/text"),
        (Dialect::GoogleChat, "/text"),
    ] {
        assert_ne!(
            render(dialect, &at(pointer, "{{ record.name }}")).pointer(pointer),
            Some(name),
            "{pointer}"
        );
    }
}

#[test]
fn a_truncated_text_has_its_length_when_it_arrives() {
    let texts = [
        "_".repeat(2000),
        "&".repeat(2000),
        "ab_c&d".repeat(300),
        "x".repeat(2000),
        "@".repeat(30),
        "]".repeat(40),
    ];
    for dialect in [Dialect::Plain, Dialect::Slack, Dialect::Discord, Dialect::Teams, Dialect::GoogleChat] {
        for (text, most) in texts.iter().flat_map(|text| [0, 1, 2, 5, 31, 1024].map(|most| (text, most))) {
            let event = json!({"records": [{"t": text}]});
            let render = |filters: &str| {
                let template = json!(format!("{{{{ record.t | truncate: {most}{filters} }}}}"));
                let template = Template::compile(&template, dialect, None).unwrap();
                serde_json::from_str::<String>(&template.render(&event, Effort::Full).unwrap()).unwrap()
            };
            let arrived = render("").chars().count();
            assert!(arrived <= most, "{dialect:?}: {arrived} of {most}");
            let longest = if dialect == Dialect::Plain { 0 } else { 6 };
            assert!(
                arrived + longest >= most.min(text.len()),
                "{dialect:?}: {arrived} of {most} is too short"
            );
            assert_eq!(render(" | raw").chars().count(), most.min(text.len()), "{dialect:?}");
        }
    }
}

#[test]
fn a_template_knows_whether_it_is_a_test() {
    let template =
        json!({"test": "{{ test | json }}", "text": "{% if test %}Test{% else %}Order{% endif %}"});
    let template = Template::compile(&template, Dialect::Plain, None).unwrap();
    for (event, expected) in [
        (json!({"test": true}), json!({"test": true, "text": "Test"})),
        (json!({}), json!({"test": false, "text": "Order"})),
    ] {
        let payload = template.render(&event, Effort::Full).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&payload).unwrap(), expected);
    }
}
