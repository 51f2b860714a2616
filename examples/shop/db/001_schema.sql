-- Money is in cents. What is sold, to whom, and what is left.
create table customers (
    id bigint generated always as identity primary key,
    email text not null unique check (email like '%_@_%'),
    name text not null,
    since timestamptz not null default now()
);

create table products (
    id bigint generated always as identity primary key,
    sku text not null unique,
    name text not null,
    cents integer not null check (cents > 0),
    for_sale boolean not null default true
);

create table stock (
    product_id bigint primary key references products on delete cascade,
    on_hand integer not null check (on_hand >= 0)
);

create table movements (
    id bigint generated always as identity primary key,
    product_id bigint not null references products on delete cascade,
    change integer not null check (change <> 0),
    reason text not null
);

create table coupons (
    code text primary key,
    percent integer not null check (percent between 1 and 90),
    uses_left integer not null check (uses_left >= 0)
);

create sequence invoice_numbers start 1001;

create table orders (
    id bigint generated always as identity primary key,
    customer_id bigint not null references customers,
    coupon text references coupons,
    state text not null default 'placed' check (state in ('placed', 'paid', 'shipped', 'cancelled', 'refunded')),
    total integer not null check (total >= 0),
    invoice bigint unique,
    placed_at timestamptz not null default now()
);

create table lines (
    order_id bigint not null references orders on delete cascade,
    number integer not null,
    product_id bigint not null references products,
    quantity integer not null check (quantity > 0),
    cents integer not null,
    primary key (order_id, number)
);

create table payments (
    id bigint generated always as identity primary key,
    order_id bigint not null references orders,
    cents integer not null check (cents > 0),
    card text not null,
    state text not null check (state in ('captured', 'declined'))
);

create unique index one_capture_per_order on payments (order_id) where state = 'captured';

create table refunds (
    id bigint generated always as identity primary key,
    payment_id bigint not null references payments,
    cents integer not null check (cents > 0),
    reason text not null
);

create table mails (
    id bigint generated always as identity primary key,
    recipient text not null,
    subject text not null,
    attempts integer not null default 0,
    sent_by text,
    sent_at timestamptz
);

create table audit (
    id bigint generated always as identity primary key,
    order_id bigint not null,
    before text,
    after text
);
