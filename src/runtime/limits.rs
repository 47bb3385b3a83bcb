//! Limits as a table: each has a name with its unit last, a default, a range and a sentence, written
//! once. The settings, their documentation and the structs that carry the values are made of it.

/// One bound of `T`, as the operator sees it.
pub struct Limit<T: 'static> {
    /// The setting's name and the field's.
    pub name: &'static str,
    /// What it bounds, in a sentence.
    pub doc: &'static str,
    pub min: u64,
    pub max: u64,
    pub read: fn(&T) -> u64,
    pub write: fn(&mut T, u64),
}

/// Declares a struct of limits: fields of an unsigned type, `= default, in min..=max`.
///
/// ```
/// quintet::limits! {
///     /// What one kettle may do.
///     pub struct KettleLimits {
///         /// Time to boil.
///         pub boil_ms_max: u64 = 5_000, in 1..=60_000;
///     }
/// }
/// assert_eq!(KettleLimits::default().boil_ms_max, 5_000);
/// assert_eq!(KettleLimits::TABLE[0].name, "boil_ms_max");
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
            /// What the service runs with unless it is told otherwise.
            pub const DEFAULT: $name = $name { $($field: $default,)+ };

            /// Every limit of this struct, in order.
            pub const TABLE: &'static [$crate::runtime::limits::Limit<$name>] = &[
                $($crate::runtime::limits::Limit {
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
