//! A reader of JSON (RFC 8259). The tests read cases and what WebDriver answers.

use std::ops::Index;

#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Array(Vec<Json>),
    /// The members in their order.
    Object(Vec<(String, Json)>),
}

impl Json {
    pub fn parse(text: &str) -> Json {
        let mut rest = Rest(text);
        let value = rest.value();
        assert_eq!(rest.0.trim_start(), "", "more than one JSON value");
        value
    }

    /// The value of a member, if there is one of this name.
    pub fn get(&self, name: &str) -> Option<&Json> {
        let member = self.members().iter().find(|(key, _)| key == name);
        member.map(|(_, value)| value)
    }

    pub fn members(&self) -> &[(String, Json)] {
        match self {
            Json::Object(members) => members,
            _ => panic!("{self:?} is not an object"),
        }
    }

    pub fn items(&self) -> &[Json] {
        match self {
            Json::Array(items) => items,
            _ => panic!("{self:?} is not an array"),
        }
    }

    pub fn text(&self) -> &str {
        match self {
            Json::Text(text) => text,
            _ => panic!("{self:?} is not a string"),
        }
    }
}

impl Index<&str> for Json {
    type Output = Json;

    fn index(&self, name: &str) -> &Json {
        let value = self.get(name);
        value.unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }
}

/// What has not been read yet.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    fn value(&mut self) -> Json {
        if self.takes("{") {
            Json::Object(self.list("}", |rest| {
                let name = rest.value().text().to_string();
                assert!(rest.takes(":"), "no colon before {:.40}", rest.0);
                (name, rest.value())
            }))
        } else if self.takes("[") {
            Json::Array(self.list("]", Rest::value))
        } else if self.takes("\"") {
            Json::Text(self.string())
        } else {
            let end = self.0.find([',', ']', '}']).unwrap_or(self.0.len());
            let (word, rest) = self.0.split_at(end);
            self.0 = rest;
            match word.trim_end() {
                "null" => Json::Null,
                "true" => Json::Bool(true),
                "false" => Json::Bool(false),
                number => {
                    let value = number.parse();
                    Json::Number(value.unwrap_or_else(|_| panic!("{number:?} is not JSON")))
                }
            }
        }
    }

    fn list<T>(&mut self, end: &str, item: fn(&mut Self) -> T) -> Vec<T> {
        let mut items = Vec::new();
        while !self.takes(end) {
            let goes_on = items.is_empty() || self.takes(",");
            assert!(goes_on, "no comma before {:.40}", self.0);
            items.push(item(self));
        }
        items
    }

    fn takes(&mut self, token: &str) -> bool {
        self.0 = self.0.trim_start();
        let rest = self.0.strip_prefix(token);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// A string, whose opening quote has been taken.
    fn string(&mut self) -> String {
        let mut units = Vec::new();
        let mut chars = self.0.chars();
        loop {
            let c = match chars.next().expect("the end of a string") {
                '"' => break,
                '\\' => match chars.next().expect("an escape") {
                    'u' => {
                        let digits: String = chars.by_ref().take(4).collect();
                        units.push(u16::from_str_radix(&digits, 16).expect("four digits"));
                        continue;
                    }
                    'b' => '\x08',
                    'f' => '\x0c',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    c => c,
                },
                c => c,
            };
            units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
        }
        self.0 = chars.as_str();
        String::from_utf16(&units).expect("no lone surrogates")
    }
}
