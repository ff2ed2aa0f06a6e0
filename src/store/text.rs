//! How domain values lie in TEXT columns, so that queries bind and read them as they are.

use sqlx::any::{AnyRow, AnyTypeInfo, AnyValueRef};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::{Any, Decode, Encode, Row, Type};

use crate::domain::{
    ApiKeyId, ConversationId, FinishReason, KeyName, MessageId, MessageStatus, PresetId, PresetName, Role,
    Shelf, SignInId, Title, UserId, UserName, UserRole,
};

/// Stores a type as text: the first closure writes it, the second reads it.
macro_rules! stored_as_text {
    ($($type:ty: $write:expr, $read:expr;)+) => {$(
        impl Type<Any> for $type {
            fn type_info() -> AnyTypeInfo {
                <str as Type<Any>>::type_info()
            }
        }

        impl Encode<'_, Any> for $type {
            fn encode_by_ref(&self, buffer: &mut <Any as sqlx::Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
                let write: fn(&$type) -> String = $write;
                Encode::<Any>::encode(write(self), buffer)
            }
        }

        impl Decode<'_, Any> for $type {
            fn decode(value: AnyValueRef<'_>) -> Result<Self, BoxDynError> {
                let read: fn(String) -> Option<$type> = $read;
                read(<String as Decode<Any>>::decode(value)?).ok_or_else(|| concat!("not a ", stringify!($type)).into())
            }
        }
    )+};
}

stored_as_text! {
    UserId: |id| id.to_string(), |text| text.parse().ok();
    ApiKeyId: |id| id.to_string(), |text| text.parse().ok();
    KeyName: |name| name.to_string(), |text| Self::parse(&text).ok();
    PresetId: |id| id.to_string(), |text| text.parse().ok();
    PresetName: |name| name.to_string(), |text| Self::parse(&text).ok();
    SignInId: |id| id.to_string(), |text| text.parse().ok();
    ConversationId: |id| id.to_string(), |text| text.parse().ok();
    MessageId: |id| id.to_string(), |text| text.parse().ok();
    UserName: |name| name.to_string(), |text| Self::parse(&text).ok();
    UserRole: |role| role.as_str().into(), |text| Self::parse(&text);
    Title: |title| title.to_string(), |text| Some(Self::stored(text));
    Shelf: |shelf| shelf.as_str().into(), |text| Self::parse(&text);
    Role: |role| role.as_str().into(), |text| Self::parse(&text);
    MessageStatus: |status| status.as_str().into(), |text| Self::parse(&text);
    FinishReason: |reason| reason.as_str().into(), |text| Self::parse(&text);
}

/// Writes a value as JSON.
pub(super) fn to_json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|e| sqlx::Error::Encode(e.into()))
}

/// Reads a column that holds JSON.
pub(super) fn from_json<T: serde::de::DeserializeOwned>(
    row: &AnyRow,
    column: &str,
) -> Result<Option<T>, sqlx::Error> {
    row.try_get::<Option<String>, _>(column)?
        .map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|e| sqlx::Error::ColumnDecode { index: column.into(), source: e.into() })
}
