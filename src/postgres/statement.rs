//! A statement that is composed of parts, with its typed parameters.

use tokio_postgres::{
    Client, Error, GenericClient, Row,
    types::{ToSql, Type},
};

/// A statement with parameters of its own.
#[derive(Default)]
pub(crate) struct Statement {
    pub(crate) sql: String,
    params: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
}

impl Statement {
    /// Adds a parameter and returns its place, such as `$3::int8[]`.
    pub(crate) fn bind(&mut self, value: impl ToSql + Sync + Send + 'static, kind: Type) -> String {
        let cast = match kind.name().strip_prefix('_') {
            Some(element) => format!("{element}[]"),
            None => kind.name().to_owned(),
        };
        self.params.push((Box::new(value), kind));
        format!("${}::{cast}", self.params.len())
    }

    pub(crate) async fn query(&self, client: &Client) -> Result<Vec<Row>, Error> {
        let params: Vec<(&(dyn ToSql + Sync), Type)> =
            self.params.iter().map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone())).collect();
        GenericClient::query_typed(client, &self.sql, &params).await
    }
}

/// Arrays of equal length, one a column, to be unnested together.
#[derive(Default)]
pub(crate) struct Columns {
    places: Vec<String>,
    names: Vec<&'static str>,
}

impl Columns {
    pub(crate) fn add<T: ToSql + Sync + Send + 'static>(
        mut self,
        statement: &mut Statement,
        name: &'static str,
        kind: Type,
        values: impl Iterator<Item = T>,
    ) -> Self {
        self.places.push(statement.bind(values.collect::<Vec<T>>(), kind));
        self.names.push(name);
        self
    }

    /// Returns the source of a `FROM`, under an alias.
    pub(crate) fn unnest(&self, alias: &str) -> String {
        format!("unnest({}) AS {alias} ({})", self.places.join(", "), self.names.join(", "))
    }
}
