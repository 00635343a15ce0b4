//! The text form of a feature, `name(parameters)@time_frame#SYMBOL`, taken apart.
//!
//! Only the form is read here; whether the parts mean anything is for
//! [`FeatureSet`](super::FeatureSet) to say.

/// The parts of an expression.
#[derive(Debug, PartialEq)]
pub(super) struct Expression<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: Vec<Argument<'a>>,
    pub(super) time_frame: Option<&'a str>,
    pub(super) symbol: Option<&'a str>,
}

/// One argument, perhaps by name.
#[derive(Debug, PartialEq)]
pub(super) struct Argument<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) value: f64,
}

/// Takes `text` apart; the error says what is wrong with its form.
pub(super) fn parse(text: &str) -> Result<Expression<'_>, String> {
    let body_end = match (text.find(')'), text.find(['@', '#'])) {
        (Some(close), _) => close + 1,
        (None, Some(mark)) => mark,
        (None, None) => text.len(),
    };
    let (body, suffixes) = text.split_at(body_end);
    let (name, arguments) = parse_body(body.trim())?;
    let (time_frame, symbol) = parse_suffixes(suffixes.trim())?;
    Ok(Expression {
        name,
        arguments,
        time_frame,
        symbol,
    })
}

fn parse_body(body: &str) -> Result<(&str, Vec<Argument<'_>>), String> {
    let (name, inner) = match body.split_once('(') {
        Some((name, rest)) => {
            let inner = rest.strip_suffix(')').ok_or("the closing `)` is missing")?;
            (name.trim(), inner.trim())
        }
        None => (body, ""),
    };
    if name.is_empty() {
        return Err("the name is missing; write it as in `rsi(14)`".to_owned());
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if let Some(odd) = name.chars().find(|c| !plain(*c)) {
        return Err(format!("`{odd}` does not belong into a name"));
    }
    if inner.is_empty() {
        return Ok((name, Vec::new()));
    }
    let arguments: Result<Vec<_>, _> = inner.split(',').map(parse_argument).collect();
    Ok((name, arguments?))
}

fn parse_argument(text: &str) -> Result<Argument<'_>, String> {
    let (name, number) = match text.split_once('=') {
        Some((name, number)) => (Some(name.trim()), number.trim()),
        None => (None, text.trim()),
    };
    match number.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Argument { name, value }),
        _ => Err(format!("`{number}` is not a number")),
    }
}

fn parse_suffixes(text: &str) -> Result<(Option<&str>, Option<&str>), String> {
    let (mut time_frame, mut symbol) = (None, None);
    let mut rest = text;
    while let Some(mark) = rest.chars().next() {
        let slot = match mark {
            '@' => &mut time_frame,
            '#' => &mut symbol,
            _ => {
                return Err(format!(
                    "`{rest}` is left over; after the feature come `@4h` or `#BTCUSDT`"
                ));
            }
        };
        let after = &rest[mark.len_utf8()..];
        let end = after.find(['@', '#']).unwrap_or(after.len());
        let value = after[..end].trim();
        if value.is_empty() {
            return Err(format!("nothing follows `{mark}`"));
        }
        if slot.replace(value).is_some() {
            return Err(format!("`{mark}` is given twice"));
        }
        rest = &after[end..];
    }
    Ok((time_frame, symbol))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_every_part_in_either_order() {
        let whole = Expression {
            name: "macd",
            arguments: vec![
                Argument {
                    name: None,
                    value: 8.0,
                },
                Argument {
                    name: Some("slow"),
                    value: 21.5,
                },
            ],
            time_frame: Some("4h"),
            symbol: Some("BTCUSDT"),
        };
        assert_eq!(parse("macd(8, slow = 21.5)@4h#BTCUSDT"), Ok(whole));
        let turned = parse("rsi #ETH/BTC @ 1d").unwrap();
        assert_eq!(
            (turned.time_frame, turned.symbol),
            (Some("1d"), Some("ETH/BTC"))
        );
        assert!(turned.arguments.is_empty());
    }

    #[test]
    fn says_what_is_wrong_with_the_form() {
        for (text, part) in [
            ("", "name is missing"),
            ("(14)", "name is missing"),
            ("rsi(14", "closing"),
            ("rsi(x)", "`x` is not a number"),
            ("rsi(14,)", "`` is not a number"),
            ("rsi(inf)", "not a number"),
            ("rsi(14)4h", "left over"),
            ("rsi(14)@", "nothing follows"),
            ("rsi(14)@1h@4h", "twice"),
            ("r-si(14)", "does not belong"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn survives_any_text(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
