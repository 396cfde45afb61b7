export const mount = (section) => () => {};
