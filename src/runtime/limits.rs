//! Limits as tables. Each limit has a name ending in its unit, a default, a range and a description, declared
//! once with [`limits!`](crate::limits!); the settings and their documentation are derived from the tables.

/// One limit in a table, with accessors for the struct `T` that carries its value.
pub struct Limit<T: 'static> {
    /// The name of the setting and of the field.
    pub name: &'static str,
    /// The description, one or two sentences.
    pub doc: &'static str,
    /// The smallest value that a setting may have.
    pub min: u64,
    /// The largest value that a setting may have.
    pub max: u64,
    /// Reads the value from the struct.
    pub read: fn(&T) -> u64,
    /// Writes a value, which must be in the range, to the struct.
    pub write: fn(&mut T, u64),
}

/// Declares a struct of limits. Fields have an unsigned type, `= default`, and `in min..=max`.
///
/// ```
/// quintet_runtime::limits! {
///     /// Limits of one kettle.
///     pub struct KettleLimits {
///         /// Time to boil.
///         pub boil_timeout_ms: u64 = 5_000, in 1..=60_000;
///     }
/// }
/// assert_eq!(KettleLimits::default().boil_timeout_ms, 5_000);
/// assert_eq!(KettleLimits::TABLE[0].name, "boil_timeout_ms");
/// assert_eq!(KettleLimits::TABLE[0].doc, "Time to boil.");
/// ```
#[macro_export]
macro_rules! limits {
    (
        $(#[$outer:meta])*
        pub struct $name:ident {
            $($(#[doc = $doc:literal])+ pub $field:ident: $type:ty = $default:expr, in $min:literal..=$max:expr;)+
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        impl $name {
            /// The default values.
            pub const DEFAULT: $name = $name { $($field: $default,)+ };

            /// Every limit of this struct, in declaration order.
            pub const TABLE: &'static [$crate::limits::Limit<$name>] = &[
                $($crate::limits::Limit {
                    name: stringify!($field),
                    doc: concat!($($doc),+).trim_ascii(),
                    min: $min,
                    max: $max,
                    read: |limits| limits.$field as u64,
                    write: |limits, value| limits.$field = value as $type,
                },)+
            ];
        }

        impl Default for $name {
            fn default() -> Self {
                Self::DEFAULT
            }
        }
    };
}
